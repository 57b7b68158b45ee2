begin;
select plan(9);

select tests.create_user('ann');
select tests.act_as_user('ann');
create temp table made (name text, slug text);

insert into made select name, slug from create_tenant('Acme');
insert into made select t.name, t.slug from generate_series(1, 5) i, create_tenant(left('Acme', 4 + i)) t;
select is((select count(distinct slug) from made), 6::bigint, 'tenants of one name differ in their slugs');
select is_empty(
  $$ select slug from made where slug !~ '^acme(-[0-9a-f]{6})?$' $$, 'which still begin with the name'
);

truncate made;
insert into made
select t.name, t.slug from unnest(array['株式会社', 'Привет', '!!!', '🙂']) name, create_tenant(name) t;
select is_empty(
  $$ select slug from made where slug !~ '^tenant(-[0-9a-f]{6})?$' $$, 'a name without a latin letter has a slug, too'
);
select is((select count(distinct slug) from made), 4::bigint, 'each its own');

select is((select slug from create_tenant('Ünïcode & Söhne')), 'n-code-s-hne', 'other letters become hyphens');
select is((select slug from create_tenant('--Hyphen--')), 'hyphen', 'none at the ends');
select is((select slug from create_tenant(repeat('a', 39) || ' b')), repeat('a', 39), 'nor where a long one is cut');
select is((select slug from create_tenant(repeat('b', 100))), repeat('b', 40), 'at 40 characters');
select matches(
  (select slug from create_tenant(repeat('b', 100))), '^b{40}-[0-9a-f]{6}$', 'a long one is made unique, too'
);

select * from finish();
rollback;
