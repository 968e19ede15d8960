/**
 * A text of a stranger's, such as a message or a name, for one line of a terminal or a log: line breaks and tabs are spaces, and
 * what could command the terminal or turn the writing around is U+FFFD. The server lets such characters through in messages. Pages
 * that show text as text need only isolate its direction (`<bdi>`).
 */
export function oneLine(text: string): string {
  return text.replace(/[\n\r\t\u0085\u2028\u2029]/gu, ' ').replace(/[\p{Cc}\p{Bidi_Control}]/gu, '\ufffd');
}
