/** Errors of the disk, which are no fault of the point that met them. */
import { systemCode } from "../../platform/files.ts";

/** Full, over a quota, gone, or not to be written to. */
const CODES = ["ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE", "ENOTCONN"];

/** Whether an error, or what it came from, is one of the disk. */
export function isOfDisk(error: unknown): boolean {
  const code = systemCode(error);
  if (code !== undefined && CODES.includes(code)) return true;
  return error instanceof Error && error.cause !== undefined && isOfDisk(error.cause);
}
