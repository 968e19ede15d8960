// Runs a bundle that was made for browsers: with the one thing of theirs that this Node may lack.
import { pathToFileURL } from 'node:url';
import { WebSocket } from 'ws';

const [bundle, url] = process.argv.slice(2);
globalThis.WebSocket ??= WebSocket;
globalThis.SERVER_URL = url;
await import(pathToFileURL(bundle));
