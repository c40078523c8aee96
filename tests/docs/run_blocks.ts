/** Imports the blocks of a document as modules, in order, and says which one failed. */
for (const path of Deno.args) {
  try {
    await import(`file://${path}`);
  } catch (error) {
    console.error(`${path}: ${error instanceof Error ? error.stack : error}`);
    Deno.exit(1);
  }
}
Deno.exit(0);
