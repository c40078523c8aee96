/** Serves a folder's sources with the types that registries of modules give them. `node web_server.js FOLDER PORT` */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname } from "node:path";
import process from "node:process";

const [folder, port] = process.argv.slice(2);
const TYPES = { ".ts": "text/typescript", ".js": "text/javascript", ".json": "application/json" };

createServer((request, response) => {
  try {
    const path = new URL(request.url, "http://here").pathname;
    const bytes = readFileSync(folder + decodeURIComponent(path));
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "text/plain" }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
}).listen(Number(port), "127.0.0.1");
