/** Asks a server at an address for two texts at once and prints them. */
import process from "node:process";

const ask = async (prompt) => {
  const response = await fetch(`${process.argv[2]}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "embedded", prompt, max_tokens: 12, temperature: 0 }),
  });
  return (await response.json()).choices[0].text;
};
console.log(JSON.stringify(await Promise.all([ask("customer: my parcel is late"), ask("agent: hello")])));
