// Writes src/generated from docs/api/api.json, or checks it: node generate.mjs [--check]
//
// openapi-typescript writes the types. What they cannot say at run time, which operations take an
// Idempotency-Key, is a list beside them.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const document = new URL("../../docs/api/api.json", import.meta.url);
const folder = new URL("src/generated/", import.meta.url);
const notice = "// Generated from docs/api/api.json by `make client`; never edited.\n";
const api = JSON.parse(await readFile(document, "utf8"));

const keyed = Object.entries(api.paths).flatMap(([path, item]) =>
  Object.entries(item)
    .filter(([, operation]) =>
      (operation.parameters ?? []).some(({ name }) => name.toLowerCase() === "idempotency-key"),
    )
    .map(([method]) => `${method.toUpperCase()} ${path}`),
);
const files = {
  "schema.ts": notice + astToString(await openapiTS(api)),
  "keyed.ts": `${notice}export const KEYED: ReadonlySet<string> = new Set(${JSON.stringify(keyed, null, 2)});\n`,
};

await mkdir(folder, { recursive: true });
for (const [name, content] of Object.entries(files)) {
  const path = new URL(name, folder);
  if ((await readFile(path, "utf8").catch(() => "")) === content) continue;
  if (process.argv.includes("--check")) {
    console.error(`the TypeScript client is out of date (${name}): run make client`);
    process.exit(1);
  }
  await writeFile(path, content);
}
