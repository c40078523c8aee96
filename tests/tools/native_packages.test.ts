/** The packages of platforms: what npm is told, so that it installs the one that fits. */
import assert from "node:assert/strict";
import { packageManifest, platformName, PLATFORMS } from "../../tools/native_packages.ts";
import { NATIVE_PACKAGES } from "../../ops/native/kernels.ts";

Deno.test("each platform has a package of its own, which npm installs on that platform alone", () => {
  const manifests = PLATFORMS.map((platform) => packageManifest(platform, "library"));
  assert.deepEqual(manifests.map(({ name }) => name), NATIVE_PACKAGES);
  for (const [i, platform] of PLATFORMS.entries()) {
    const { name, os, cpu, libc } = manifests[i]!;
    assert.deepEqual([os, cpu, libc], [
      [platform.os],
      [platform.cpu],
      platform.os === "linux" ? ["glibc"] : undefined,
    ]);
    assert.ok(String(name).startsWith(`@graft/native-${platformName(platform)}`));
  }
});
