/**
 * Models from files that a page has fetched: no path, no permission.
 *
 * @module
 */
export { type ModelFiles, modelFromFiles } from "../io/model_files.ts";
