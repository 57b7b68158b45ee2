begin;
select plan(5);

select tests.create_tenant('acme', 'free');
select private.lock_credit_account(tests.tenant_id('acme'));
create function pg_temp.month(
  p_line text, p_end timestamptz, p_credits numeric, p_rollover int default 0, p_subscription text default 'sub_1'
) returns void language sql set timezone = 'UTC' as $$
  insert into private.credit_months values
    (tests.tenant_id('acme'), p_line, p_end - interval '1 month', p_end, p_subscription, p_credits, p_rollover)
$$;
create function pg_temp.settle(p_at timestamptz) returns bigint language sql as $$
  select private.settle_credits(tests.tenant_id('acme'), p_at)
$$;
create temp view entries as
select kind::text, amount, balance, effective_at, expires_at from public.credit_ledger order by id;

create temp table lines (line text, credits numeric, rollover int);
insert into lines values ('startup', 300, 0), ('refund', -150, 0), ('enterprise', 500, 2);
create temp table outcomes (arrival text, granted bigint, remaining bigint, balance bigint, expires_at timestamptz);
-- Each order of the three, one of them a day.
do $$ declare v_first record; v_second record; v_third record; begin
  for v_first in select * from lines loop
    for v_second in select * from lines where line <> v_first.line loop
      select * into v_third from lines where line not in (v_first.line, v_second.line);
      delete from private.credit_grants;
      delete from private.credit_months;
      delete from public.credit_ledger;
      update private.credit_accounts set balance = 0, due_at = 'infinity';
      perform pg_temp.month(v_first.line, '2030-05-01Z', v_first.credits, v_first.rollover);
      perform pg_temp.settle('2030-04-10Z');
      perform pg_temp.month(v_second.line, '2030-05-01Z', v_second.credits, v_second.rollover);
      perform pg_temp.settle('2030-04-11Z');
      perform pg_temp.month(v_third.line, '2030-05-01Z', v_third.credits, v_third.rollover);
      perform pg_temp.settle('2030-04-12Z');
      insert into outcomes
      select concat_ws(' ', v_first.line, v_second.line, v_third.line), g.granted, g.remaining, a.balance, g.expires_at
      from private.credit_grants g, private.credit_accounts a;
    end loop;
  end loop;
end $$;

select is((select count(*) from outcomes), 6::bigint, 'in each order there is one grant');
select is_empty('select arrival, granted from outcomes where granted <> 650', 'of the same credits');
select is_empty('select arrival, remaining from outcomes where remaining <> 650', 'which are left');
select is_empty('select arrival, balance from outcomes where balance <> 650', 'and make the balance');
select is_empty(
  $$ select arrival, expires_at from outcomes where expires_at <> '2030-07-01Z' $$,
  'good for as long as the plan that keeps them longest says, whichever line came first'
);

select * from finish();
rollback;
