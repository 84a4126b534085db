/**
 * Stands in a page before the client is there, and keeps what is called of it for the
 * client to do. It is ECMAScript 5, for browsers that cannot read the client: what the
 * page calls must not throw there. Where it never comes, no more than a hundred calls are
 * kept.
 *
 * An element whose id is "beacon" hides nothing: it has no log. The function is called
 * without an object, so that this is the window.
 */
!function (q, beacon) {
  (beacon = this.beacon || q).log ||
    ((this.beacon = beacon = { q: q }),
    "init0log0view0consent0flush0install".split(0).map(function (name) {
      beacon[name] = function () {
        q[99] || q.push([name].concat(q.slice.call(arguments)));
      };
    }));
}([]);
