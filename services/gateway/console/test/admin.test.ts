import { expect, test } from "vitest";
import { limitsCommand, nameCommand, userCommand } from "../src/lib/admin";

test("commands can be pasted into a shell as they are", () => {
  expect(userCommand("", "viewer")).toBe("dagyo user add NAME --role viewer");
  expect(userCommand(" ada; rm -rf ~ ", "user")).toBe("dagyo user add 'ada; rm -rf ~' --role user");
  expect(nameCommand("user revoke", "o'neil")).toBe("dagyo user revoke 'o'\\''neil'");
  expect(limitsCommand("acme", ["flows", "slots", "queued"], { flows: " 5 ", slots: "0", queued: "-1; x" })).toBe("dagyo tenant limits acme --flows 5 --slots 0 --queued '-1; x'");
});
