import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";
import type { Plugin } from "vite";

/** Writes licenses.txt: the licences of the packages whose code is in the page. */
function licenses(): Plugin {
  return {
    name: "licenses",
    generateBundle(_, bundle) {
      const packages = new Map<string, string>();
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== "chunk") continue;
        for (const id of Object.keys(chunk.modules)) {
          const at = id.lastIndexOf("/node_modules/");
          if (at < 0) continue;
          let dir = dirname(id.split("?")[0]!);
          while (dir.length > at && !(existsSync(join(dir, "package.json")) && JSON.parse(readFileSync(join(dir, "package.json"), "utf8")).version)) dir = dirname(dir);
          const about = JSON.parse(readFileSync(join(dir, "package.json"), "utf8"));
          const file = readdirSync(dir).find((f) => /^licen[cs]e/i.test(f));
          packages.set(`${about.name} ${about.version} (${about.license})`, file ? readFileSync(join(dir, file), "utf8").trim() : "");
        }
      }
      const source = [...packages].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, text]) => `${name}\n\n${text}\n`).join("\n----\n\n");
      this.emitFile({ type: "asset", fileName: "licenses.txt", source });
    },
  };
}

// In `npm run dev`, the API is that of a running `dagyo up`.
export default defineConfig({
  plugins: [svelte(), licenses()],
  // The client of this repository, from its source.
  resolve: { alias: { "@dagyo/client": fileURLToPath(new URL("../../../clients/typescript/src/index.ts", import.meta.url)) } },
  server: { proxy: { "/v1": "http://127.0.0.1:4280" } },
  build: { target: "es2022", cssTarget: ["chrome123", "firefox120", "safari17.5"], modulePreload: { polyfill: false }, reportCompressedSize: true },
  test: { include: ["test/**/*.test.ts"] },
});
