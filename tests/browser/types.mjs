// Checks the pages' scripts, and what they ask of native against its document:
//
//   node tests/browser/types.mjs FOLDER_WITH_NODE_MODULES
//
// What it makes lies in target/types.

import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [tools = process.env.BROWSER_TOOLS] = process.argv.slice(2);
if (!tools) throw new Error("name the folder that holds node_modules");
const modules = resolve(tools, "node_modules");
const house = fileURLToPath(new URL("../..", import.meta.url));
const out = join(house, "target/types");
const run = (script, ...given) =>
  execFileSync(process.execPath, [join(modules, script), ...given], { stdio: "inherit" });

mkdirSync(out, { recursive: true });
run("openapi-typescript/bin/cli.js", join(house, "openapi/native.json"), "--output", join(out, "native.d.ts"));
const config = {
  compilerOptions: {
    allowJs: true,
    checkJs: true,
    strict: true,
    noEmit: true,
    noUnusedLocals: true,
    target: "es2023",
    module: "esnext",
    moduleResolution: "bundler",
    lib: ["es2023", "dom", "dom.iterable"],
    types: [],
    skipLibCheck: true,
    paths: {
      native: [join(out, "native.d.ts")],
      preact: [join(modules, "preact")],
      "preact/hooks": [join(modules, "preact/hooks")],
      "@preact/signals": [join(modules, "@preact/signals")],
      "@preact/signals-core": [join(modules, "@preact/signals-core")],
      htm: [join(modules, "htm/dist/htm.d.ts")],
    },
  },
  include: [join(house, "web/app/**/*.js"), join(house, "web/app/**/*.d.ts")],
};
const file = join(out, "tsconfig.json");
writeFileSync(file, JSON.stringify(config, null, 2));
run("typescript/bin/tsc", "--project", file);
console.log("the pages' scripts ask native as its document says");
