// A link as a picture for cameras. The module that makes it comes when the first one is drawn.
import { html, useEffect, useState } from "./html.js";

/** Modules of light around the code, which cameras need (ISO/IEC 18004). */
const MARGIN = 4;

/** @param {string} text @returns {Promise<{ size: number, path: string }>} */
async function draw(text) {
  const { default: qrcode } = await import("../../vendor/qrcode.js");
  const code = qrcode(0, "M");
  code.addData(text);
  code.make();
  const count = code.getModuleCount();
  let path = "";
  for (let row = 0; row < count; row++) {
    for (let column = 0; column < count; column++) {
      if (code.isDark(row, column)) path += `M${column + MARGIN} ${row + MARGIN}h1v1h-1z`;
    }
  }
  return { size: count + 2 * MARGIN, path };
}

/** @param {{ text: string, label: string }} given */
export function Qr({ text, label }) {
  const [code, setCode] = useState(/** @type {{ size: number, path: string } | null} */ (null));
  useEffect(() => {
    let wanted = true;
    // Without it there is still the link.
    draw(text).then((drawn) => wanted && setCode(drawn), () => {});
    return () => void (wanted = false);
  }, [text]);
  if (!code) return html`<div class="qr"></div>`;
  return html`<svg class="qr" viewBox="0 0 ${code.size} ${code.size}" role="img" aria-label=${label} shape-rendering="crispEdges">
    <rect width=${code.size} height=${code.size} /><path d=${code.path} />
  </svg>`;
}
