/** @jsxImportSource preact */
/// <reference lib="dom" />
/** A place to drop files on, which is a button that opens the file picker as well. */
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";

/** See the module's comment. */
export function DropZone(
  { label, accept, multiple = false, disabled, taken }: {
    readonly label: string;
    readonly accept: string;
    readonly multiple?: boolean;
    readonly disabled: boolean;
    readonly taken: (files: readonly File[]) => void;
  },
): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const take = (list: FileList | null | undefined): void => {
    const files = [...list ?? []];
    if (files.length > 0) taken(files);
  };
  return (
    <div
      class={over ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        if (!disabled) take(event.dataTransfer?.files);
      }}
    >
      <p>{label}</p>
      <input
        ref={input}
        type="file"
        hidden
        accept={accept}
        multiple={multiple}
        aria-label={label}
        onChange={(event) => {
          take(event.currentTarget.files);
          event.currentTarget.value = "";
        }}
      />
      <button type="button" disabled={disabled} onClick={() => input.current?.click()}>
        Choose {multiple ? "files" : "a file"}
      </button>
    </div>
  );
}
