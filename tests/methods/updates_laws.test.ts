/** RoAd, DeLoRA, HiRA, SHiRA, GraLoRA and WaveFT obey the laws of methods, each in its forms. */
import assert from "node:assert/strict";
import { type Counts, type Method, type Model, scaled, type TargetOptions } from "../../core/mod.ts";
import { delora, gralora, hira, road, shira, waveft } from "../../methods/mod.ts";
import { withBackend } from "../support/backends.ts";
import { ALL, each, ENDS, laws, TABLE } from "../support/linear_laws.ts";
import { tinyLlama } from "../support/tiny_models.ts";

laws("road()", road(ALL), each(ALL, (_, o) => o));
laws("road() of two numbers a row", road({ variant: 2 }), each({}, (_, o) => 2 * o));
laws("road() of four, on the embedding", road({ ...TABLE, variant: 4 }), each(TABLE, (_, o) => 4 * o));
laws(
  "road() in groups, random",
  road({ variant: 4, group: 4, initialization: "none" }),
  each({}, (_, o) => 4 * o),
  {
    atInit: "other",
  },
);

laws("road() half of the way", scaled(road({ variant: 2 }), 0.5), each({}, (_, o) => 2 * o), {
  merges: "only",
});

/** The norms, and a copy of what trains. */
const stored = (options: TargetOptions, r: number, copies: number) => (model: Model): Partial<Counts> => {
  const { trainable } = each(options, (i, o) => r * (i + o) + 1)(model);
  return { trainable, stored: copies * trainable + each(options, (i) => i)(model).trainable };
};
laws("delora()", delora({ ...ALL, rank: 3, dropout: 0.2 }), stored(ALL, 3, 1));
laws("delora() with a copy of its start", delora({ rank: 2, initialization: "copy" }), stored({}, 2, 2));
laws("delora() on the embedding and the head", delora({ ...ENDS, rank: 2 }), stored(ENDS, 2, 1));

laws("hira()", hira({ ...ALL, rank: 3, dropout: 0.2 }), each(ALL, (i, o) => 3 * (i + o)), { merges: "only" });
laws("hira() gaussian", hira({ rank: 2, initialization: "gaussian" }), each({}, (i, o) => 2 * (i + o)), {
  merges: "only",
});
laws("hira() on the embedding and the head", hira({ ...ENDS, rank: 2 }), each(ENDS, (i, o) => 2 * (i + o)), {
  merges: "only",
});

laws("shira()", shira({ ...ALL, rank: 2 }), (model) => {
  const { trainable } = each(ALL, (i, o) => 2 * (i + o))(model);
  return { trainable, stored: 3 * trainable, changed: trainable };
});
laws(
  "shira() random, on the embedding and the head",
  shira({ ...ENDS, rank: 1, positionSeed: 4, initialization: "normal" }),
  each(ENDS, (i, o) => i + o),
  { atInit: "other" },
);

laws("gralora()", gralora({ rank: 4, dropout: 0.2 }), each({}, (i, o) => 4 * (i + o)));
laws(
  "gralora() hybrid",
  gralora({ rank: 4, blocks: 4, hybridRank: 3, alpha: 5 }),
  each({}, (i, o) => 7 * (i + o)),
);

laws("waveft()", waveft({ ...ALL, frequencies: 20 }), each(ALL, () => 20));
laws(
  "waveft() of a longer wavelet, random",
  waveft({ frequencies: 30, wavelet: "db3", initialization: "normal" }),
  each({}, () => 30),
  { atInit: "other" },
);
laws(
  "waveft() on the embedding and the head",
  waveft({ ...ENDS, frequencies: 9, wavelet: "coif1" }),
  each(ENDS, () => 9),
);

Deno.test("options that a layer cannot have are refused by name", () =>
  withBackend("reference", (backend) => {
    const llama = tinyLlama(backend, 1);
    const refused = (method: () => Method, message: RegExp): void => {
      assert.throws(
        () => method().init({ model: llama, key: 0 }),
        (e) => e instanceof RangeError && message.test(e.message),
      );
    };
    refused(() => road({ variant: 3 as 4 }), /variant to be 1, 2 or 4 but found 3/);
    refused(() => road({ group: 3 }), /group to be even but found 3/);
    refused(() => road({ group: 64 }), /groups of 64 on ".*q_proj": its output of 16 is no multiple/);
    refused(() => delora({ rank: 0 }), /rank to be a positive integer but found 0/);
    refused(() => delora({ lambda: Infinity }), /lambda to be a finite number but found Infinity/);
    refused(() => delora({ lambdaPattern: { q_proj: NaN } }), /lambdaPattern "q_proj" to be a finite number/);
    refused(() => delora({ lambdaPattern: { nope: 2 } }), /lambdaPattern "nope" matches none/);
    refused(() => hira({ dropout: 1 }), /dropout from 0 up to 1 but found 1/);
    refused(() => hira({ rankPattern: { nope: 2 } }), /rankPattern "nope" matches none/);
    refused(() => shira({ rank: 7 }), /rank 7 on ".*q_proj" \[16, 12\]: 196 positions of 192 elements/);
    refused(() => gralora({ rank: 5 }), /rank to be a multiple of the 2 blocks but found 5/);
    refused(
      () => gralora({ rank: 5, blocks: 5 }),
      /5 by 5 blocks on ".*q_proj" \[16, 12\]: sizes must be multiples of 5/,
    );
    refused(() => gralora({ hybridRank: -1 }), /hybridRank to be a positive integer but found -1/);
    refused(() => waveft({ frequencies: 193 }), /193 frequencies of ".*q_proj" \[16, 12\]: it has 192/);
    refused(
      () => waveft({ allocation: "proportional", frequencyPattern: { q_proj: 3 } }),
      /frequencyPattern with a proportional allocation/,
    );
    llama.dispose();
    return Promise.resolve();
  }));
