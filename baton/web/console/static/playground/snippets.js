// The call as a program: for a shell, for Python, for Node.js. Whatever stands in the request is
// quoted so that the program sends exactly these characters and runs none of them. The key is
// never written into it: it is read from the environment.

const KEY = "BATON_KEY";

/** @param {{address: string, body: object, headers: Record<string, string>}} call */
export function curl({ address, body, headers }) {
  const lines = [`curl ${body.stream ? "-N " : ""}${shell(`${address}/v1/completions`)}`];
  lines.push(`-H "Authorization: Bearer $${KEY}"`, '-H "Content-Type: application/json"');
  for (const [name, value] of Object.entries(headers)) lines.push(`-H ${shell(`${name}: ${value}`)}`);
  // Through standard input, because a long prompt would not fit among a command's words.
  lines.push("--data-binary @- <<'BATON'");
  return `${lines.join(" \\\n  ")}\n${ascii(JSON.stringify(body, null, 2))}\nBATON\n`;
}

export function python({ address, body, headers }) {
  const extra = Object.keys(headers).length ? [["extra_headers", headers]] : [];
  const fields = [...Object.entries(body), ...extra].map(([name, value]) => `    ${name}=${literal(value, 1)},`);
  const opening = `import os

from openai import OpenAI

client = OpenAI(base_url=${literal(`${address}/v1`)}, api_key=os.environ["${KEY}"])
${body.stream ? "stream" : "answer"} = client.completions.create(
${fields.join("\n")}
)
`;
  return opening + (body.stream
    ? `for chunk in stream:
    for choice in chunk.choices:
        print(choice.text, end="", flush=True)
`
    : "for choice in answer.choices:\n    print(choice.text)\n");
}

export function node({ address, body, headers }) {
  const options = Object.keys(headers).length ? `, { headers: ${ascii(JSON.stringify(headers))} }` : "";
  const call = `client.completions.create(${ascii(JSON.stringify(body, null, 2))}${options})`;
  const opening = `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${ascii(JSON.stringify(`${address}/v1`))}, apiKey: process.env.${KEY} });
const ${body.stream ? "stream" : "answer"} = await ${call};
`;
  return opening + (body.stream
    ? `for await (const chunk of stream) {
  for (const choice of chunk.choices) process.stdout.write(choice.text);
}
`
    : "for (const choice of answer.choices) console.log(choice.text);\n");
}

/** One word of a POSIX shell. */
export function shell(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A value as Python writes it: JSON's strings and numbers are Python's, but for three words. */
export function literal(value, depth = 0) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (typeof value === "string") return pythonText(value);
  if (typeof value !== "object") return String(value);
  const inner = "    ".repeat(depth + 1);
  const entries = Array.isArray(value)
    ? value.map((each) => `${inner}${literal(each, depth + 1)},\n`)
    : Object.entries(value).map(([name, each]) => `${inner}${pythonText(name)}: ${literal(each, depth + 1)},\n`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return entries.length ? `${open}\n${entries.join("")}${"    ".repeat(depth)}${close}` : open + close;
}

function pythonText(text) {
  const escaped = JSON.stringify(text).replace(INVISIBLE, (character) => {
    const code = character.codePointAt(0).toString(16);
    return code.length > 4 ? `\\U${code.padStart(8, "0")}` : `\\u${code.padStart(4, "0")}`;
  });
  return escaped.replaceAll("\\/", "/");
}

/** What steers a terminal or an editor is escaped; letters of all scripts stay readable. */
const INVISIBLE =
  /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|[\ud800-\udfff]/gu;

function ascii(json) {
  return json.replace(INVISIBLE, (character) =>
    [...Array(character.length).keys()].map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`).join(""));
}
