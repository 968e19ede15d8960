/** What the page offers to the test. */
export interface BrowserPlayer {
  /** Texts of the messages heard. */
  texts: string[];
  /** States of the connection. */
  states: string[];
  connect(url: string, secret: string, name: string): Promise<string>;
  create(name: string): Promise<string>;
  join(room: string): Promise<void>;
  send(room: string, text: string): Promise<number>;
}
