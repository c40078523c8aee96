/** What is carried away: files that other programs read, made by the commands that make them on a machine. */
/// <reference lib="dom" />
import { Zip, ZipPassThrough } from "fflate";
import { bytesIn, type Volume } from "../files/volume.ts";
import { finetuneWords, shellLine } from "../command_line.ts";
import type { CarriedFile, Parcel, RunSettings } from "../protocol.ts";
import { runOther } from "./commands.ts";

/** Where results lie for a moment. */
const PLACE = "tmp/carry";
/** Ranks of a method that is no LoRA as one, for programs that know no other. */
const RANK = "16";

/** Makes a file to be saved. */
export async function carry(volume: Volume, settings: RunSettings, parcel: Parcel): Promise<CarriedFile> {
  const name = settings.output.replace(/^runs\//, "");
  if (volume.find(PLACE) !== undefined) volume.remove(PLACE, "rm");
  switch (parcel) {
    case "peft": {
      const files = [...volume.below(settings.output)].filter((path) => !path.includes("/checkpoint/"));
      const blob = zipped(volume, files, settings.output, name);
      return { name: `${name}.zip`, blob, command: shellLine(finetuneWords(settings)), said: "" };
    }
    case "gguf": {
      const target = `${name}.gguf`;
      const words = ["convert", settings.output, `${PLACE}/${target}`, "--model", settings.model];
      const { said, used } = await converted(words);
      return carried(volume, target, { said, words: used });
    }
    case "merged": {
      const words = merging(settings, `${PLACE}/${name}-merged`);
      const said = await runOther(words);
      const folder = `${PLACE}/${name}-merged`;
      const blob = zipped(volume, [...volume.below(folder)], folder, `${name}-merged`);
      return { name: `${name}-merged.zip`, blob, command: shown(words), said: plain(said) };
    }
    case "merged-gguf": {
      const target = `${name}-merged.gguf`;
      const words = [...merging(settings, `${PLACE}/${target}`), "--dtype", "f16"];
      return carried(volume, target, { said: await runOther(words), words });
    }
    default:
      return parcel satisfies never;
  }
}

const merging = ({ model, output }: RunSettings, target: string): readonly string[] => [
  ...["merge", "--model", model, "--adapter", output, "--output", target],
];

/** As it is, or as LoRA where the form has no other. */
async function converted(
  words: readonly string[],
): Promise<{ readonly said: string; readonly used: readonly string[] }> {
  try {
    return { said: await runOther(words), used: words };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const used = [...words, "--rank", RANK];
    return { said: await runOther(used), used };
  }
}

const plain = (text: string): string => text.replaceAll(`${PLACE}/`, "").trim();
const shown = (words: readonly string[]): string => plain(shellLine(words));

function carried(
  volume: Volume,
  target: string,
  { said, words }: { readonly said: string; readonly words: readonly string[] },
): CarriedFile {
  const bytes = bytesIn(volume.file(`${PLACE}/${target}`, "open"));
  const blob = new Blob([bytes as Uint8Array<ArrayBuffer>], { type: "application/octet-stream" });
  return { name: target, blob, command: shown(words), said: plain(said) };
}

/** Files in one archive, stored as they are: weights do not get smaller. */
function zipped(volume: Volume, paths: readonly string[], root: string, name: string): Blob {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const zip = new Zip((error, chunk) => {
    if (error !== null) throw error;
    chunks.push(chunk as Uint8Array<ArrayBuffer>);
  });
  for (const path of paths) {
    const entry = new ZipPassThrough(`${name}/${path.slice(root.length + 2)}`);
    zip.add(entry);
    const file = volume.file(path, "open");
    for (let at = 0; at < file.size; at += PIECE) {
      entry.push(bytesIn(file, at, at + PIECE), at + PIECE >= file.size);
    }
    if (file.size === 0) entry.push(new Uint8Array(0), true);
  }
  zip.end();
  return new Blob(chunks, { type: "application/zip" });
}

const PIECE = 1 << 22;
