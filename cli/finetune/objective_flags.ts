/** `--objective` and the flags that go with it. */
import { choice, type Command, number, option, rare } from "../terminal/arguments.ts";

/** Names of the objectives. */
export const OBJECTIVES = [
  "sft",
  "dpo",
  "ipo",
  "orpo",
  "reward",
  "distill",
  "ranking",
  "triplet",
  "cosent",
] as const;

/** The flags of objectives. */
export interface ObjectiveFlags {
  /** Default "sft": the answers themselves. */
  readonly objective?: typeof OBJECTIVES[number];
  /** Of dpo, ipo and orpo. */
  readonly beta?: number;
  /** The loss of a pair under dpo. */
  readonly pairLoss?: "sigmoid" | "hinge" | "robust";
  /** How strongly rewards are kept near 0. */
  readonly center?: number;
  /** A larger model of the same vocabulary. */
  readonly teacher?: string;
  /** What the teacher sees before every text. */
  readonly teacherPrompt?: string;
  readonly temperature?: number;
  readonly divergence?: "forward" | "reverse";
  /** Of ranking: the other way round, too. */
  readonly symmetric?: true;
  /** Of triplet. */
  readonly margin?: number;
  /** Which states make a vector; default as the model's folder says. */
  readonly pooling?: "mean" | "max" | "first" | "last";
}

/** The flags of objectives among all flags of a command. */
export function objectiveOf(flags: ObjectiveFlags): ObjectiveFlags {
  return Object.fromEntries(NAMES.flatMap((name) => flags[name] === undefined ? [] : [[name, flags[name]]]));
}

const NAMES = [
  ...["objective", "beta", "pairLoss", "center", "teacher", "teacherPrompt", "temperature", "divergence"],
  ...["symmetric", "margin", "pooling"],
] as readonly (keyof ObjectiveFlags)[];

/** Whether rows are groups of texts that get vectors. */
export const isEmbedding = ({ objective }: ObjectiveFlags): boolean =>
  objective === "ranking" || objective === "triplet" || objective === "cosent";

/** Whether rows are pairs of answers. */
export const isPreference = ({ objective }: ObjectiveFlags): boolean =>
  objective === "dpo" || objective === "ipo" || objective === "orpo" || objective === "reward";

/** Adds them. */
export function objectiveFlags(command: Command): Command {
  return command
    .addOption(choice("--objective <name>", "default sft", OBJECTIVES))
    .addOption(rare(option("--beta <x>", "of dpo, ipo and orpo; default 0.1", number({ above: 0 }))))
    .addOption(rare(choice("--pair-loss <name>", "of dpo; default sigmoid", ["sigmoid", "hinge", "robust"])))
    .addOption(rare(option("--center <x>", "of reward: keeps rewards near 0", number({ from: 0 }))))
    .addOption(rare(option("--teacher <path|id>", "of distill: a model of the same vocabulary")))
    .addOption(rare(option("--teacher-prompt <text>", "of distill: what the teacher sees before each text")))
    .addOption(rare(option("--temperature <t>", "of distill; default 1", number({ above: 0 }))))
    .addOption(rare(option("--symmetric", "of ranking: anchors are found, too")))
    .addOption(rare(option("--margin <x>", "of triplet; default 5", number({ above: 0 }))))
    .addOption(
      rare(choice("--pooling <which>", "states that make a vector", ["mean", "max", "first", "last"])),
    )
    .addOption(rare(choice("--divergence <which>", "of distill; default forward", ["forward", "reverse"])));
}
