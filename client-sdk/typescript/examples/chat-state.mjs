// What the chat in the terminal keeps between runs: a guest for each chat that runs at the same time.

import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** How many chats may run at once with a guest each that is kept. */
const GUESTS_MAX = 100;

/** Where guests are kept unless PITTURU_STATE_DIR names another folder. */
function defaultFolder() {
  const state = process.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state');
  return process.env.PITTURU_STATE_DIR ?? join(state, 'pitturu', 'chat-node');
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Who has made the file. Between its making and its writing it is empty, for a moment. */
function holderOf(lock) {
  try {
    const isFresh = Date.now() - statSync(lock).mtimeMs < 10_000;
    return { pid: Number(readFileSync(lock, 'utf8')), isFresh };
  } catch {
    return { pid: 0, isFresh: false };
  }
}

/** Makes a file that says that this process has the guest; false when another one has. */
function take(lock) {
  for (let tries = 0; tries < 2; tries += 1) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx', mode: 0o600 });
      return true;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const { pid, isFresh } = holderOf(lock);
    if (pid > 0 ? isRunning(pid) : isFresh) return false;
    // Its process ended without a word.
    rmSync(lock, { force: true });
  }
  return false;
}

function freshSecret() {
  return randomBytes(16).toString('hex');
}

/** What a player's name is called as a file. */
function fileOf(name) {
  if (/^[\w-]{1,64}$/.test(name)) return name;
  return `name-${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
}

/**
 * The guest of this run: the one of this profile; or the first that no other chat has, of those with this player's name if one is given.
 * `fresh` makes one that is not kept. `leave` gives it free for the next run.
 */
export function guestOf({ profile, name, fresh }) {
  if (fresh) return { name: undefined, secret: freshSecret(), leave: () => undefined };
  const folder = defaultFolder();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const ofName = (number) => {
    if (name === undefined) return `guest-${String(number)}`;
    return number === 1 ? fileOf(name) : `${fileOf(name)}-${String(number)}`;
  };
  const guests =
    profile === undefined ? Array.from({ length: GUESTS_MAX }, (_, index) => ofName(index + 1)) : [profile];
  for (const guest of guests) {
    const lock = join(folder, `${guest}.lock`);
    if (!take(lock)) continue;
    const file = join(folder, `${guest}.secret`);
    let secret;
    try {
      secret = readFileSync(file, 'utf8').trim();
    } catch {
      secret = freshSecret();
      writeFileSync(file, secret, { mode: 0o600 });
    }
    return { name: guest, secret, leave: () => rmSync(lock, { force: true }) };
  }
  throw new Error(`another chat runs as ${guests.at(-1)}`);
}
