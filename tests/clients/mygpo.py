"""Drives mygpoclient, as gPodder does, against a running server: ROOT_URL NAME PASSWORD.

Prints one line for each thing that it found to be so, and ends with 0 if all was.
"""

import sys

from mygpoclient import api, http

FEED = "https://example.org/feed"


def check(fact, what):
    if not fact:
        sys.exit(f"not so: {what}")
    print(what)


def refuses(name, password, root):
    client = api.MygPodderClient(name, password, root)
    try:
        client.get_devices()
    except http.Unauthorized:
        return True
    return False


def main(root, name, password):
    client = api.MygPodderClient(name, password, root)

    done = client.update_device_settings("desktop", caption="The desk", type="desktop")
    check(done, "a device takes its settings")
    [device] = client.get_devices()
    told = (device.device_id, device.caption, device.type, device.subscriptions)
    check(told == ("desktop", "The desk", "desktop", 0), "and tells them")

    check(client.put_subscriptions("desktop", [FEED, FEED + "/two"]), "a list is put")
    kept = client.get_subscriptions("desktop")
    check(sorted(kept) == [FEED, FEED + "/two"], "and got again")

    start = client.pull_subscriptions("phone").since
    check(client.pull_subscriptions("desktop").add == kept, "the whole is pulled at first")
    result = client.update_subscriptions(
        "desktop", ["HTTPS://Example.ORG:443/Three/"], [FEED + "/two"]
    )
    renamed = [("HTTPS://Example.ORG:443/Three/", "https://example.org/Three")]
    check(result.update_urls == renamed, "a changed address is told")
    changes = client.pull_subscriptions("desktop", since=result.since)
    check((changes.add, changes.remove) == ([], []), "nothing comes back to its sender")
    changes = client.pull_subscriptions("desktop", since=start)
    check("https://example.org/Three" in changes.add, "what was added since is pulled")

    play = api.EpisodeAction(
        FEED, FEED + "/1.mp3", "play", "desktop", "2026-11-20T08:00:00", 0, 120, 500
    )
    since = client.upload_episode_actions([play])
    down = client.download_episode_actions(since=0)
    check([a.to_dictionary() for a in down.actions] == [play.to_dictionary()], "an action comes back")
    check(down.since >= since, "with a stamp that goes on")
    more = api.EpisodeAction(FEED, FEED + "/2.mp3", "download", "desktop", "2026-11-20T09:00:00")
    client.upload_episode_actions([more])
    down = client.download_episode_actions(since=since, device_id="desktop")
    check([a.episode for a in down.actions] == [FEED + "/2.mp3"], "only what is new, by device")

    for _ in range(10):
        client.get_devices()
    check(True, "ten calls more on one client object")

    check(refuses(name, "not it at all", root), "a wrong password is refused")


if __name__ == "__main__":
    main(*sys.argv[1:])
