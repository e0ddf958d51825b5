// What people see: signing in, their home, their account.

import { House, PASSWORD, Visit, must, same, until } from "./house.mjs";

export default {
  async "somebody signs in and out"(binary) {
    const house = await House.open(binary);
    await house.settle();
    const visit = await Visit.begin(house);
    await visit.goto("/account/security");
    await visit.heading("Sign in");
    await visit.look("sign-in");
    await visit.signIn();
    await visit.look("home");
    visit.expects(/status of 404.*nowhere/);
    await visit.goto("/nowhere", "There is no such page");
    await visit.look("not-found");
    await visit.end();
    await house.close();
  },
};
