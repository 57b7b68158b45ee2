begin;
select plan(2);

set local timezone = 'America/New_York';
select results_eq(
  $$ select * from private.months_of_line('2030-03-01Z', '2030-04-01Z', 'month', 300, false) $$,
  $$ values ('2030-03-01Z'::timestamptz, '2030-04-01Z'::timestamptz, 300::numeric) $$,
  'a month is one of UTC, whatever the session''s time zone'
);
set local timezone = 'Pacific/Apia';
select is(
  (select round(credits) from private.months_of_line('2030-04-16Z', '2030-05-01Z', 'month', 300, true)), 150::numeric, 'and so is a share of it'
);

select * from finish();
rollback;
