begin;
select plan(4);

create temp table cases (text text, expected timestamptz);
insert into cases values
  ('2026-02-03T04:05:06Z', '2026-02-03 04:05:06Z'),
  ('2026-02-03 04:05:06', '2026-02-03 04:05:06Z'),
  ('2026-02-03T04:05:06', '2026-02-03 04:05:06Z'),
  ('2026-02-03T04:05:06.5Z', '2026-02-03 04:05:06.5Z'),
  ('2026-02-03T04:05:06.123456Z', '2026-02-03 04:05:06.123456Z'),
  ('2026-02-03T04:05:06.123456789Z', '2026-02-03 04:05:06.123457Z'),
  ('2026-12-31T23:59:59.9999999Z', '2027-01-01 00:00:00Z'),
  ('2026-02-03T04:05:06+02:00', '2026-02-03 02:05:06Z'),
  ('2026-02-03T04:05:06+0530', '2026-02-02 22:35:06Z'),
  ('2026-02-03T04:05:06-03:30', '2026-02-03 07:35:06Z'),
  ('2026-02-03T04:05:06-0800', '2026-02-03 12:05:06Z'),
  ('2026-02-03T04:05:06+14:00', '2026-02-02 14:05:06Z'),
  ('2026-02-03T04:05:06-00:00', '2026-02-03 04:05:06Z'),
  ('2026-02-03T04:05:06+00:30', '2026-02-03 03:35:06Z'),
  ('2024-02-29T00:00:00Z', '2024-02-29 00:00:00Z'),
  ('2000-02-29T00:00:00Z', '2000-02-29 00:00:00Z'),
  ('2026-01-31T00:00:00Z', '2026-01-31 00:00:00Z'),
  ('2026-04-30T00:00:00Z', '2026-04-30 00:00:00Z'),
  ('1900-01-01T00:00:00Z', '1900-01-01 00:00:00Z'),
  ('2099-12-31T23:59:59Z', '2099-12-31 23:59:59Z');
prepare misread as
select text, private.parse_timestamp(text) as have, expected from cases
where private.parse_timestamp(text) is distinct from expected;

select is_empty('misread', 'with and without an offset, fractions and leap days');
set local timezone = 'Asia/Kathmandu';
select is_empty('misread', 'whatever the session''s time zone');
select is(
  private.parse_timestamp(to_jsonb('2026-02-03 04:05:06.789+00'::timestamptz) #>> '{}'), '2026-02-03 04:05:06.789Z'::timestamptz,
  'as Postgres itself writes them'
);
select is(
  private.parse_timestamp('2026-02-03T04:05:06-00:30'), '2026-02-03 04:35:06Z'::timestamptz,
  'behind UTC by less than an hour, too'
);

select * from finish();
rollback;
