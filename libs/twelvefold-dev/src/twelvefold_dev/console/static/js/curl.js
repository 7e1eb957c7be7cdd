// A request as a command for a POSIX shell.

const MAX_INLINE = 98304; // characters of an encoded body; a command line has a limit

// Quotes text for a POSIX shell: within single quotes nothing has a meaning.
export function quote(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

// `request`: { method, url, headers, authorized, body } with the body as base64, or null where it is
// unknown. The command takes the token from the variable TOKEN.
export function curl({ method, url, headers = [], authorized = false, body = null }) {
  const lines = [`curl ${method === "GET" ? "" : `-X ${method} `}${quote(url)}`];
  for (const [name, value] of headers) lines.push(`-H ${quote(`${name}: ${value}`)}`);
  if (authorized) lines.push('-H "Authorization: Bearer $TOKEN"');
  if (!body) return lines.join(" \\\n  ");
  const text = decode(body);
  if (text !== null) lines.push(`--data-raw ${quote(text)}`);
  else if (body.length <= MAX_INLINE) return `printf %s ${body} | base64 -d | ${lines.join(" \\\n  ")} \\\n  --data-binary @-`;
  else lines.push("--data-binary @FILE  # the body is too large for a command");
  return lines.join(" \\\n  ");
}

// Returns the text of a body, or null where it is not text that a shell can pass on.
function decode(body) {
  const bytes = Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return /[\u0000-\u0008\u000b-\u001f\u007f]/.test(text) || text.startsWith("@") ? null : text;
  } catch {
    return null;
  }
}
