// The browser's half: a pilot in the page.

import { Pilot } from './pilot.js';

declare global {
  // Declared as a variable, so that it is a property of the window.
  var pilot: Pilot;
}

globalThis.pilot = new Pilot();
