/** Values that a JSON file can hold. */

/** JSON values. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };
