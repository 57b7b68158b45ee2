begin;
select plan(3);

-- Each of these would be another instant, or end the call, if it were cast.
select is_empty(
  $$ select text, private.parse_timestamp(text)
     from unnest(array[
       '', ' ', 'now', 'today', 'yesterday', 'infinity', '-infinity', 'epoch', '1700000000', '2026', '2026-02', '2026-02-03',
       '2026-02-03T', '2026-02-03T04', '2026-02-03T04:05', '2026-02-03T04:05Z', '04:05:06',
       '2026-02-29T00:00:00Z', '1900-02-29T00:00:00Z', '2024-02-30T00:00:00Z', '2026-04-31T00:00:00Z', '2026-01-32T00:00:00Z',
       '2026-00-01T00:00:00Z', '2026-13-01T00:00:00Z', '2026-01-00T00:00:00Z', '2026-1-1T00:00:00Z',
       '2026-02-03T24:00:00Z', '2026-02-03T04:60:00Z', '2026-02-03T04:05:60Z', '2026-02-03T04:05:06.Z',
       '2026-02-03T04:05:06.1234567890123Z', '2026-02-03T04:05:06,5Z',
       '2026-02-03T04:05:06+2', '2026-02-03T04:05:06+16:00', '2026-02-03T04:05:06+02:60', '2026-02-03T04:05:06 UTC',
       '2026-02-03T04:05:06Europe/Paris', '2026-02-03T04:05:06ZZ', ' 2026-02-03T04:05:06Z', '2026-02-03T04:05:06Z ',
       e'2026-02-03T04:05:06Z\n', '02/03/2026 04:05:06', '20260203T040506Z', '1899-12-31T00:00:00Z', '2100-01-01T00:00:00Z',
       '10000-01-01T00:00:00Z', '-2026-02-03T04:05:06Z', '2026-02-03T04:05:06Z BC', '２０２６-02-03T04:05:06Z'
     ]) text
     where private.parse_timestamp(text) is not null $$,
  'what is not a full ISO 8601 time is none'
);
select is(private.parse_timestamp(null), null, 'nor is nothing');
select is(private.parse_timestamp('2026-02-03T04:05:06Z'), '2026-02-03 04:05:06Z'::timestamptz, 'while a time is one');

select * from finish();
rollback;
