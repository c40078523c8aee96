/** Every method, gate and codec. Written by `deno task index`; not to be changed by hand. */
import type { GateDefinition, MethodDefinition } from "../core/mod.ts";
import type { AnyPeftCodec } from "./peft/codec.ts";
import type { AdaptersForm } from "./adapterhub/form.ts";
import type { PeftForm } from "./peft/form.ts";
import { codecOf, hasMapping } from "./peft/mapping.ts";
import { bottleneckHub, loraHub, prefixHub, promptHub, reftHub } from "./adapterhub/forms.ts";
import { adamix } from "./adapters/adamix.ts";
import { adapterFusionDefinition } from "./adapters/adapter_fusion.ts";
import { averagedDefinition } from "./adapters/averaged.ts";
import { bottleneckAdapter } from "./adapters/bottleneck_adapter.ts";
import { bySpansDefinition } from "./adapters/by_spans.ts";
import { compacter, compacterPlusPlus } from "./adapters/compacter.ts";
import { houlsby } from "./adapters/houlsby.ts";
import { invertibleAdapter } from "./adapters/invertible_adapter.ts";
import { kronaB, kronaBres } from "./adapters/krona_b.ts";
import { parallelAdapter } from "./adapters/parallel_adapter.ts";
import { pfeiffer } from "./adapters/pfeiffer.ts";
import { phmAdapter } from "./adapters/phm_adapter.ts";
import { sparseAdapterDefinition } from "./adapters/sparse_adapter.ts";
import { centralGateDefinition } from "./hybrids/central_gate.ts";
import { mam } from "./hybrids/mam.ts";
import { parallelDefinition } from "./hybrids/parallel.ts";
import { routedDefinition } from "./hybrids/routed.ts";
import { s4 } from "./hybrids/s4.ts";
import { keyValueGateDefinition, sentenceGateDefinition } from "./hybrids/sentence_gate.ts";
import { unipelt } from "./hybrids/unipelt.ts";
import { adalora } from "./low_rank/adalora.ts";
import { adaloraPeft } from "./low_rank/adalora_peft.ts";
import { cordaDefinition } from "./low_rank/corda.ts";
import { delora } from "./low_rank/delora.ts";
import { deloraPeft } from "./low_rank/delora_peft.ts";
import { dora } from "./low_rank/dora.ts";
import { doraPeft } from "./low_rank/dora_peft.ts";
import { evaDefinition } from "./low_rank/eva.ts";
import { fusedIa3, fusedLora } from "./low_rank/fused_projection.ts";
import { glora } from "./low_rank/glora.ts";
import { gloraPeft } from "./low_rank/glora_peft.ts";
import { kasa } from "./low_rank/kasa.ts";
import { lily } from "./low_rank/lily.ts";
import { lilyPeft } from "./low_rank/lily_peft.ts";
import { loftqDefinition } from "./low_rank/loftq.ts";
import { lora } from "./low_rank/lora.ts";
import { loraGaDefinition } from "./low_rank/lora_ga.ts";
import { loraPeft, loraPlusPeft } from "./low_rank/lora_peft.ts";
import { loraPlus } from "./low_rank/lora_plus.ts";
import { moslora } from "./low_rank/moslora.ts";
import { oloraDefinition } from "./low_rank/olora.ts";
import { pissaDefinition } from "./low_rank/pissa.ts";
import { poly } from "./low_rank/poly.ts";
import { polyPeft } from "./low_rank/poly_peft.ts";
import { pvera } from "./low_rank/pvera.ts";
import { pveraPeft } from "./low_rank/pvera_peft.ts";
import { qlora } from "./low_rank/qlora.ts";
import { randlora } from "./low_rank/randlora.ts";
import { randloraPeft } from "./low_rank/randlora_peft.ts";
import { rslora } from "./low_rank/rslora.ts";
import { tinyLora } from "./low_rank/tiny_lora.ts";
import { tinyLoraPeft } from "./low_rank/tiny_lora_peft.ts";
import { uniLora } from "./low_rank/uni_lora.ts";
import { uniLoraPeft } from "./low_rank/uni_lora_peft.ts";
import { vbLora } from "./low_rank/vb_lora.ts";
import { vbLoraPeft } from "./low_rank/vb_lora_peft.ts";
import { vera } from "./low_rank/vera.ts";
import { veraPeft } from "./low_rank/vera_peft.ts";
import { ia3 } from "./rescaling/ia3.ts";
import { ia3Peft } from "./rescaling/ia3_peft.ts";
import { loreft } from "./rescaling/loreft.ts";
import { beft } from "./selective/beft.ts";
import { beftPeft } from "./selective/beft_peft.ts";
import { bitfit } from "./selective/bitfit.ts";
import { crossAttention } from "./selective/cross_attention.ts";
import { diffPruning } from "./selective/diff_pruning.ts";
import { farDefinition } from "./selective/far.ts";
import { fishMaskDefinition } from "./selective/fish_mask.ts";
import { fixedWeightsDefinition } from "./selective/fixed_weights.ts";
import { fullFineTune, only } from "./selective/full_fine_tune.ts";
import { layerNormTune } from "./selective/layer_norm_tune.ts";
import { layerNormPeft } from "./selective/layer_norm_tune_peft.ts";
import { ltSftDefinition } from "./selective/lt_sft.ts";
import { modulesToSave } from "./selective/modules_to_save.ts";
import { diffPruningFixedDefinition } from "./selective/pruned_diff.ts";
import { topLayers } from "./selective/top_layers.ts";
import { trainableTokens } from "./selective/trainable_tokens.ts";
import { attentionFusion } from "./side_networks/attention_fusion.ts";
import { ladderSideTuning } from "./side_networks/ladder_side_tuning.ts";
import { lets } from "./side_networks/lets.ts";
import { xloraDefinition } from "./side_networks/xlora.ts";
import { xloraPeft } from "./side_networks/xlora_peft.ts";
import { cartridge } from "./soft_prompts/cartridge.ts";
import { contextPromptPeft } from "./soft_prompts/context_prompt_peft.ts";
import { contextPromptTuning } from "./soft_prompts/context_prompt_tuning.ts";
import { dept } from "./soft_prompts/dept.ts";
import { iptDefinition } from "./soft_prompts/ipt.ts";
import { iptAutoencoderDefinition } from "./soft_prompts/ipt_autoencoder.ts";
import { llamaAdapter } from "./soft_prompts/llama_adapter.ts";
import { llamaAdapterPeft } from "./soft_prompts/llama_adapter_peft.ts";
import { multitaskPromptPeft } from "./soft_prompts/multitask_prompt_peft.ts";
import { multitaskPromptTuning } from "./soft_prompts/multitask_prompt_tuning.ts";
import { pTuning } from "./soft_prompts/p_tuning.ts";
import { classifierDefinition, pTuningV2 } from "./soft_prompts/p_tuning_v2.ts";
import { prefixPeft } from "./soft_prompts/prefix_peft.ts";
import { prefixTuning } from "./soft_prompts/prefix_tuning.ts";
import { promptPeft } from "./soft_prompts/prompt_peft.ts";
import { promptTuning } from "./soft_prompts/prompt_tuning.ts";
import { spotDefinition } from "./soft_prompts/spot.ts";
import { boft } from "./structured/boft.ts";
import { boftPeft } from "./structured/boft_peft.ts";
import { c3a } from "./structured/c3a.ts";
import { c3aPeft } from "./structured/c3a_peft.ts";
import { deft } from "./structured/deft.ts";
import { deftPeft } from "./structured/deft_peft.ts";
import { fourierft } from "./structured/fourierft.ts";
import { fourierftPeft } from "./structured/fourierft_peft.ts";
import { gralora } from "./structured/gralora.ts";
import { graloraPeft } from "./structured/gralora_peft.ts";
import { hira } from "./structured/hira.ts";
import { hra } from "./structured/hra.ts";
import { hraPeft } from "./structured/hra_peft.ts";
import { intrinsicSaid } from "./structured/intrinsic_said.ts";
import { krona } from "./structured/krona.ts";
import { loha } from "./structured/loha.ts";
import { lohaPeft } from "./structured/loha_peft.ts";
import { lokr } from "./structured/lokr.ts";
import { lokrPeft } from "./structured/lokr_peft.ts";
import { miss } from "./structured/miss.ts";
import { missPeft } from "./structured/miss_peft.ts";
import { oft } from "./structured/oft.ts";
import { oftPeft } from "./structured/oft_peft.ts";
import { osf } from "./structured/osf.ts";
import { osfPeft } from "./structured/osf_peft.ts";
import { peanut } from "./structured/peanut.ts";
import { peanutPeft } from "./structured/peanut_peft.ts";
import { psoftDefinition } from "./structured/psoft.ts";
import { psoftPeft } from "./structured/psoft_peft.ts";
import { road } from "./structured/road.ts";
import { roadPeft } from "./structured/road_peft.ts";
import { shira } from "./structured/shira.ts";
import { shiraPeft } from "./structured/shira_peft.ts";
import { waveft } from "./structured/waveft.ts";
import { waveftPeft } from "./structured/waveft_peft.ts";
import { atDefinition, composeDefinition } from "../core/combinators/compose.ts";
import { gatedDefinition } from "../core/combinators/gated.ts";
import { perRowDefinition } from "../core/combinators/per_row.ts";
import { scaledDefinition } from "../core/combinators/scaled.ts";

/** Definitions by family: the folder in which the method is. */
export const FAMILIES: Readonly<Record<string, readonly MethodDefinition[]>> = {
  adapters: [
    adamix.definition,
    adapterFusionDefinition,
    averagedDefinition,
    bottleneckAdapter.definition,
    bySpansDefinition,
    compacter.definition,
    compacterPlusPlus.definition,
    houlsby.definition,
    invertibleAdapter.definition,
    kronaB.definition,
    kronaBres.definition,
    parallelAdapter.definition,
    pfeiffer.definition,
    phmAdapter.definition,
    sparseAdapterDefinition,
  ],
  hybrids: [
    centralGateDefinition,
    mam.definition,
    parallelDefinition,
    routedDefinition,
    s4.definition,
    unipelt.definition,
  ],
  low_rank: [
    adalora.definition,
    cordaDefinition,
    delora.definition,
    dora.definition,
    evaDefinition,
    fusedLora.definition,
    fusedIa3.definition,
    glora.definition,
    kasa.definition,
    lily.definition,
    loftqDefinition,
    lora.definition,
    loraGaDefinition,
    loraPlus.definition,
    moslora.definition,
    oloraDefinition,
    pissaDefinition,
    poly.definition,
    pvera.definition,
    qlora.definition,
    randlora.definition,
    rslora.definition,
    tinyLora.definition,
    uniLora.definition,
    vbLora.definition,
    vera.definition,
  ],
  rescaling: [
    ia3.definition,
    loreft.definition,
  ],
  selective: [
    beft.definition,
    bitfit.definition,
    crossAttention.definition,
    diffPruning.definition,
    farDefinition,
    fishMaskDefinition,
    fixedWeightsDefinition,
    fullFineTune.definition,
    only.definition,
    layerNormTune.definition,
    ltSftDefinition,
    modulesToSave.definition,
    diffPruningFixedDefinition,
    topLayers.definition,
    trainableTokens.definition,
  ],
  side_networks: [
    attentionFusion.definition,
    ladderSideTuning.definition,
    lets.definition,
    xloraDefinition,
  ],
  soft_prompts: [
    cartridge.definition,
    contextPromptTuning.definition,
    dept.definition,
    iptDefinition,
    iptAutoencoderDefinition,
    llamaAdapter.definition,
    multitaskPromptTuning.definition,
    pTuning.definition,
    pTuningV2.definition,
    classifierDefinition,
    prefixTuning.definition,
    promptTuning.definition,
    spotDefinition,
  ],
  structured: [
    boft.definition,
    c3a.definition,
    deft.definition,
    fourierft.definition,
    gralora.definition,
    hira.definition,
    hra.definition,
    intrinsicSaid.definition,
    krona.definition,
    loha.definition,
    lokr.definition,
    miss.definition,
    oft.definition,
    osf.definition,
    peanut.definition,
    psoftDefinition,
    road.definition,
    shira.definition,
    waveft.definition,
  ],
  combinators: [
    composeDefinition,
    atDefinition,
    gatedDefinition,
    perRowDefinition,
    scaledDefinition,
  ],
};

/** Every definition. */
export const DEFINITIONS: readonly MethodDefinition[] = Object.values(FAMILIES).flat();

/** Every gate. */
export const GATES: readonly GateDefinition[] = [sentenceGateDefinition, keyValueGateDefinition];

/** Every codec of PEFT folders. */
export const CODECS: readonly AnyPeftCodec[] = [
  ...DEFINITIONS.filter(hasMapping).map(codecOf),
  adaloraPeft,
  deloraPeft,
  doraPeft,
  gloraPeft,
  lilyPeft,
  loraPeft,
  loraPlusPeft,
  polyPeft,
  pveraPeft,
  randloraPeft,
  tinyLoraPeft,
  uniLoraPeft,
  vbLoraPeft,
  veraPeft,
  ia3Peft,
  beftPeft,
  boftPeft,
  c3aPeft,
  deftPeft,
  fourierftPeft,
  graloraPeft,
  hraPeft,
  lohaPeft,
  lokrPeft,
  missPeft,
  oftPeft,
  osfPeft,
  peanutPeft,
  roadPeft,
  shiraPeft,
  waveftPeft,
];

/** Every form of PEFT folders whose methods stand elsewhere than at layers with matrices. */
export const FORMS: readonly PeftForm[] = [
  layerNormPeft,
  xloraPeft,
  contextPromptPeft,
  llamaAdapterPeft,
  multitaskPromptPeft,
  prefixPeft,
  promptPeft,
  psoftPeft,
];

/** Every form of AdapterHub's configurations. */
export const HUB_FORMS: readonly AdaptersForm[] = [bottleneckHub, prefixHub, promptHub, loraHub, reftHub];
