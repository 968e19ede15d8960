// What the chat in the terminal keeps between runs: a guest for each chat that runs at the same time.

import { randomBytes } from 'node:crypto';
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

/**
 * The guest of this run: the first that no other chat has, or the one of this name. `fresh` makes one that is not kept.
 * `leave` gives it free for the next run.
 */
export function guestOf({ profile, fresh }) {
  if (fresh) return { name: undefined, secret: freshSecret(), leave: () => undefined };
  const folder = defaultFolder();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const names =
    profile === undefined
      ? Array.from({ length: GUESTS_MAX }, (_, index) => `guest-${String(index + 1)}`)
      : [profile];
  for (const name of names) {
    const lock = join(folder, `${name}.lock`);
    if (!take(lock)) continue;
    const file = join(folder, `${name}.secret`);
    let secret;
    try {
      secret = readFileSync(file, 'utf8').trim();
    } catch {
      secret = freshSecret();
      writeFileSync(file, secret, { mode: 0o600 });
    }
    return { name, secret, leave: () => rmSync(lock, { force: true }) };
  }
  throw new Error(`another chat runs as ${names.at(-1)}`);
}
