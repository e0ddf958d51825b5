// `/admin` has no page of its own: the first one that somebody may see.
import { useEffect } from "../../lib/html.js";
import { ADMIN } from "../../layout.js";
import { go } from "../../lib/router.js";
import { may } from "../../lib/session.js";

export default function First() {
  useEffect(() => {
    const found = ADMIN.find(([, , permission]) => may(permission));
    go(found ? found[0] : "/", { replace: true });
  }, []);
  return null;
}
