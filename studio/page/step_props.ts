/** What every step of the page is given. */
import type { Actions } from "./actions.ts";
import type { Happening, State } from "./state.ts";

/** See the module's comment. */
export interface StepProps {
  readonly state: State;
  readonly actions: Actions;
  readonly happen: (happening: Happening) => void;
}
