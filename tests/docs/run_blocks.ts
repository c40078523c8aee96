/** Imports modules one after the other, and says which one failed: the blocks of a document, in their order. */
for (const path of Deno.args) {
  try {
    await import(`file://${path}`);
  } catch (error) {
    console.error(`${path}: ${error instanceof Error ? error.stack : error}`);
    Deno.exit(1);
  }
}
Deno.exit(0);
