// What the compiler accepts and refuses: it reports each @ts-expect-error whose line has no error. Nothing here is run.

import { Flow, type Dagyo, type Out } from "@dagyo/client";
import { progdefs } from "./progdefs.js";

const flow = new Flow();
const text = flow.node("text", progdefs.greet);
const numbers = flow.node("numbers", progdefs.counter);
const page = flow.node("page", progdefs.http_get);

// Plain typenames.
flow.connect(text.out.greeting, flow.node("again", progdefs.greet).in.name);
// @ts-expect-error json does not fit utf8-string
flow.connect(numbers.out.number, text.in.name);
// @ts-expect-error there is no such port
flow.connect(text.out.greting, text.in.name);
// @ts-expect-error an input is not an output
flow.connect(text.in.name, text.in.name);

// Every node has the ports panic and stop.
flow.connect(text.out.panic, flow.node("j", progdefs.jq).in.in);
flow.connect(page.out.body, text.in.stop);
// @ts-expect-error json does not fit utf8-string
flow.connect(text.out.panic, text.in.name);

// Type parameters are inferred from connected inputs.
const copies = flow.node("copies", progdefs.tee, { inputs: { in: numbers.out.number } });
const copy: Out<"json"> = copies.out.a;
// @ts-expect-error json does not fit utf8-string
flow.connect(copies.out.b, text.in.name);
const body: Out<"octets"> = flow.node("checked", progdefs.assert, { inputs: { in: page.out.body } }).out.out;
const pair: Out<"list<json>"> = flow.node("zip", progdefs.zip, { inputs: { a: copy, b: copies.out.b } }).out.pair;
const element: Out<"json"> = flow.node("flat", progdefs.flatten, { inputs: { in: pair } }).out.out;
// @ts-expect-error the two inputs have different typenames
flow.node("mixed", progdefs.zip, { inputs: { a: copy, b: text.out.greeting } });
// @ts-expect-error json is not a Result
flow.node("unchecked", progdefs.assert, { inputs: { in: copy } });
// @ts-expect-error there is no such input
flow.node("typo", progdefs.greet, { inputs: { nam: text.out.greeting } });

// Type parameters can be given.
const given = flow.node("given", progdefs.assert, { types: { T: "json" } });
const value: Out<"json"> = given.out.out;
// @ts-expect-error Result<octets> does not fit Result<json>
flow.connect(page.out.body, given.in.in);
// @ts-expect-error tee has the parameter T
flow.node("parameter", progdefs.tee, { types: { U: "json" } });

// Parameters that are not known yet fit everything of their form.
const open = flow.node("open", progdefs.assert);
flow.connect(page.out.body, open.in.in);
// @ts-expect-error utf8-string is not a Result
flow.connect(text.out.greeting, open.in.in);
flow.connect(open.out.out, text.in.name);

// Constant records have the type of their port.
flow.node("first", progdefs.head, { with: { n: [3] } });
flow.node("filter", progdefs.jq, { with: { filter: [".a"] } });
// @ts-expect-error a filter is text
flow.node("wrong-filter", progdefs.jq, { with: { filter: [5] } });
// @ts-expect-error a Result has a value or an error
flow.constant("constant", "Result<utf8-string>", [{ valeu: "x" }]);

// A built flow gives its inputs and outputs their types.
export async function typed(dagyo: Dagyo): Promise<[string[], unknown[], Uint8Array[], number]> {
  const built = flow.build({ inputs: { names: text.in.name }, outputs: { greetings: text.out.greeting, element, body, value } });
  // @ts-expect-error the records are strings
  await dagyo.run(built, { inputs: { names: [5] } });
  // @ts-expect-error there is no such input
  await dagyo.run(built, { inputs: { nam: ["Ada"], names: ["Ada"] } });
  const { outputs } = await dagyo.run(built, {
    inputs: { names: new Blob(["Ada\n"]) },
    outputs: {
      value: async (records) => {
        let n = 0;
        for await (const _ of records) n++;
        return n;
      },
    },
  });
  return [outputs.greetings, outputs.element, outputs.body, outputs.value];
}
