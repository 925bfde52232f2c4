// Lists the tools of a server and makes a series of calls, with one of the two TypeScript clients; both check each
// answer against the tool's output schema themselves.
//   node every_tool.mjs sdk|client CALLS COMMAND ARGUMENT...
// CALLS is JSON: [[tool, arguments], ...]; "$request_id" and "$id" stand for what the calls before returned.
// Prints {"tools": [...], "instructions": ..., "answers": [...]}.
const [which, calls, command, ...args] = process.argv.slice(2);
const { Client } = await import(
  which === "sdk" ? "@modelcontextprotocol/sdk/client/index.js" : "@modelcontextprotocol/client"
);
const { StdioClientTransport } = await import(
  which === "sdk" ? "@modelcontextprotocol/sdk/client/stdio.js" : "@modelcontextprotocol/client/stdio"
);

const client = new Client({ name: "parity", version: "1" });
await client.connect(new StdioClientTransport({ command, args }));
const { tools } = await client.listTools();
const known = {};
const filled = (value) => (typeof value === "string" && value.startsWith("$") ? known[value.slice(1)] : value);
const answers = [];
for (const [name, given] of JSON.parse(calls)) {
  const filledIn = Object.entries(given).map(([key, value]) => [
    key,
    Array.isArray(value) ? value.map(filled) : filled(value),
  ]);
  const answer = await client.callTool({ name, arguments: Object.fromEntries(filledIn) });
  known.request_id = answer.structuredContent?.request_id ?? known.request_id;
  known.id = answer.structuredContent?.memories?.[0]?.id ?? known.id;
  answers.push(answer);
}
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), instructions: client.getInstructions(), answers }));
await client.close();
