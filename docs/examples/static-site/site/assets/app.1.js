// A page that finds its way by itself: it shows the path that it was asked for.
const show = () => {
  document.querySelector('main').textContent = `This is ${location.pathname}`;
};
document.querySelector('nav').addEventListener('click', (event) => {
  if (!(event.target instanceof HTMLAnchorElement)) return;
  event.preventDefault();
  history.pushState(null, '', event.target.href);
  show();
});
addEventListener('popstate', show);
show();
