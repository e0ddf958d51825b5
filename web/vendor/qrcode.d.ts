// What the pages use of it.
export type Code = {
  addData(text: string): void;
  make(): void;
  getModuleCount(): number;
  isDark(row: number, column: number): boolean;
};
declare const qrcode: (version: number, correction: "L" | "M" | "Q" | "H") => Code;
export default qrcode;
