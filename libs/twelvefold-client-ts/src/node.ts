/** For Node alone. */

import { readFile } from "node:fs/promises";

/** Returns a file as an upload. */
export async function fromFile(path: string | URL): Promise<Blob> {
  return new Blob([await readFile(path)]);
}
