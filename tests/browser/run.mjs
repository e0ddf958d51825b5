// Drives Debian's Chromium through the pages of the real program:
//
//   BROWSER_TOOLS=FOLDER_WITH_NODE_MODULES node tests/browser/run.mjs BINARY [AREA[/WORDS] …]
//
// An area is a file beside this one; it exports its tests by what they show. `people/sign` runs the
// tests of people.mjs that have "sign" in their names.

import { existsSync } from "node:fs";
import { closeBrowser, tidy } from "./house.mjs";

const [binary, ...wanted] = process.argv.slice(2);
if (!existsSync(binary ?? "")) throw new Error("name the program");
const AREAS = ["people", "account", "admin", "docs"];
const chosen = wanted.length ? wanted : AREAS;

let passed = 0;
const failed = [];
for (const one of chosen) {
  const [area, words = ""] = one.split("/");
  const file = new URL(`./${area}.mjs`, import.meta.url);
  if (!existsSync(file)) continue;
  const { default: tests } = await import(file);
  for (const [name, test] of Object.entries(tests)) {
    if (!name.includes(words)) continue;
    const begin = Date.now();
    try {
      await test(binary);
      await tidy();
      passed += 1;
      console.log(`ok   ${area}: ${name} (${Date.now() - begin} ms)`);
    } catch (error) {
      await tidy(name.replace(/\W+/g, "-"));
      failed.push(name);
      console.log(`FAIL ${area}: ${name}\n  ${error.stack ?? error}`);
    }
  }
}
await closeBrowser();
console.log(`${passed} passed, ${failed.length} failed`);
process.exit(failed.length || !passed ? 1 : 0);
