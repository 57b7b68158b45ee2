begin;
select plan(20);

update public.alert_rules set enabled = false;
select tests.create_tenant(t, 'trial') from unnest(array['acme', 'globex']) t;
create function pg_temp.take(p_amount bigint, p_tenant text default 'acme') returns bigint language sql as $$
  select consume_quota(tests.tenant_id(p_tenant), 'tokens', p_amount);
  select count(*) from public.alerts
$$;
create function pg_temp.next_of(p_tenant text) returns text language sql as $$
  select coalesce(next_threshold::text, 'none') from private.quota_counters where tenant_id = tests.tenant_id(p_tenant) and metric = 'tokens'
$$;

select pg_temp.take(5000), pg_temp.take(5000, 'globex');
select is(pg_temp.next_of('acme') || pg_temp.next_of('globex'), 'nonenone', 'where nobody watches, nothing is waited for');
insert into public.alert_rules (tenant_id, name, type, threshold) values (tests.tenant_id('acme'), 'half', 'usage_threshold', 60);
select is(pg_temp.next_of('acme') || pg_temp.next_of('globex'), '0none', 'a new rule is looked for, of its tenant');
select is(pg_temp.take(999), 0::bigint, 'below its threshold nothing is crossed');
select is(pg_temp.next_of('acme'), '60', 'which is waited for from then on');
select is(pg_temp.take(1), 1::bigint, 'at it the take crosses it');

update public.alert_rules set threshold = 70 where tenant_id is not null;
select is(pg_temp.next_of('acme'), '0', 'another threshold is looked for');
select is(pg_temp.take(1000), 2::bigint, 'and crossed');
update public.alert_rules set enabled = false where tenant_id is not null;
select pg_temp.take(1);
select is(pg_temp.next_of('acme'), 'none', 'a rule that is disabled is looked for no more');
update public.alert_rules set threshold = 75 where tenant_id is not null;
select is(pg_temp.next_of('acme'), 'none', 'whatever becomes of it');
update public.alert_rules set enabled = true where tenant_id is not null;
select is(pg_temp.next_of('acme'), '0', 'one that is enabled is');
select is(pg_temp.take(497), 2::bigint, 'below');
select is(pg_temp.next_of('acme'), '75', 'it waits');
update public.alert_rules set metric = 'embeddings' where tenant_id is not null;
select is(pg_temp.take(1), 2::bigint, 'a rule of another metric');
select is(pg_temp.next_of('acme'), 'none', 'is not about this one');
update public.alert_rules set metric = 'tokens' where tenant_id is not null;
select is(pg_temp.next_of('acme'), '0', 'until it is');
update public.alert_rules set name = 'renamed', severity = 'low' where tenant_id is not null;
insert into public.alert_rules (tenant_id, name, type) values (tests.tenant_id('globex'), 'over', 'overage_detected');
select is(pg_temp.next_of('globex'), 'none', 'a rule of another type is not crossed by a take');
-- The operator's.
insert into public.alert_rules (name, type, threshold) values ('all', 'quota_warning', 50);
select is(pg_temp.next_of('acme') || pg_temp.next_of('globex'), '00', 'an operator''s rule is looked for in every tenant');
select is(pg_temp.take(1, 'globex'), 3::bigint, 'and crossed');
-- Counters of a minute and of subjects are left alone.
insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used, next_threshold) values
  (tests.tenant_id('acme'), 'api_calls', 'minute', '', now(), 0, null), (tests.tenant_id('acme'), 'api_calls', 'day', 'ann', now(), 0, null),
  (tests.tenant_id('acme'), 'api_calls', 'month', '', now(), 0, null);
update public.alert_rules set threshold = 51 where name = 'all';
select set_eq(
  $$ select period::text from private.quota_counters where metric = 'api_calls' and next_threshold = 0 $$, array['month'], 'of days and months of the tenant alone'
);
update private.quota_counters set next_threshold = 80;
update public.alert_rules set name = 'renamed', severity = 'low', cooldown = '1 day', window_minutes = 5, channel_ids = '{}';
select is_empty('select from private.quota_counters where next_threshold <> 80', 'what does not move a threshold looks for nothing');

select * from finish();
rollback;
