begin;
select plan(13);

select is((select since from begin_stripe_recovery()), now() - interval '30 days', 'at first as long ago as Stripe keeps events');
select set_eq(
  'select unnest(types) from begin_stripe_recovery()', $$ select type from private.mirrored_events where type not like 'meterbase.%' $$, 'of each type that is applied'
);
select is((select cardinality(types) from begin_stripe_recovery()), 18, 'of Stripe''s');
select tests.ingest('a', 'charge.refunded', '{"id": "ch_1"}', '-40 days');
select is((select since from begin_stripe_recovery()), now() - interval '30 days', 'no longer, whatever came before');
select tests.ingest('b', 'charge.refunded', '{"id": "ch_1"}', '-2 days'), tests.ingest('c', 'charge.refunded', '{"id": "ch_1"}', '-3 days');
select is(
  (select since from begin_stripe_recovery()), date_trunc('second', now()) - interval '2 days 10 minutes', 'then since the last that came, with a margin'
);

select complete_stripe_recovery(now() - interval '5 days');
select is((select since from begin_stripe_recovery()), now() - interval '5 days 10 minutes', 'then since its list was read');
select complete_stripe_recovery(now() - interval '6 days');
select is((select since from begin_stripe_recovery()), now() - interval '5 days 10 minutes', 'which never goes back');
select complete_stripe_recovery(now() - interval '1 day');
select is((select since from begin_stripe_recovery()), now() - interval '1 day 10 minutes', 'but on');
select is(tests.error_of($$ select complete_stripe_recovery(now() + interval '10 minutes 1 second') $$), 'PT400 invalid_until', 'the future cannot have been read');
select is(tests.error_of($$ select complete_stripe_recovery(null) $$), 'PT400 invalid_until', 'nor no time');
select is(tests.error_of($$ select complete_stripe_recovery(now() + interval '10 minutes') $$), null, 'Stripe''s clock may be ahead a little');
update private.stripe_recovery set recovered_until = now() - interval '31 days';
select is((select since from begin_stripe_recovery()), now() - interval '30 days', 'and Stripe forgets');
select throws_ok($$ insert into private.stripe_recovery values (false, now()) $$, '23514', null, 'there is one such time');

select * from finish();
rollback;
