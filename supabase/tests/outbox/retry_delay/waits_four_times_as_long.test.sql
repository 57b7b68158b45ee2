begin;
select plan(4);

-- Of each attempt, the wait as a share of 5 seconds times four for each before, or of twelve hours.
create temp table shares as
select n, extract(epoch from private.retry_delay(n)) / least(5 * 4 ^ (n - 1), 43200) as share from generate_series(1, 13) n, generate_series(1, 200);
select is_empty('select n, share from shares where share not between 0.8 and 1.2', 'each waits a fifth more or less');
select is_empty('select n from shares group by n having min(share) > 0.85 or max(share) < 1.15', 'and makes use of it, so that those who failed together are not tried together');
select is((select max(n) from shares where share * least(5 * 4 ^ (n - 1), 43200) < 43200 * 0.8), 7, 'from the eighth on it is twelve hours');
select is_empty('select n from generate_series(14, 2000) n where private.retry_delay(n) not between interval ''9 hours 36 minutes'' and interval ''14 hours 24 minutes''', 'however many there were');

select * from finish();
rollback;
