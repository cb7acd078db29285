"""Raw bitemporal tables, derived tables, quarantine, coverage, the analysts' role and views."""

from __future__ import annotations

from collections.abc import Mapping

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KNOWN = {
    "known_at": ("timestamptz NOT NULL", "When we knew this row; a decision may use it only from then on."),
    "nominal": (
        "boolean NOT NULL",
        "True: loaded afterwards, known_at is when it would have been available. False: known_at was observed.",
    ),
}
_KEY = 'text COLLATE "C" NOT NULL'
_TEXT = 'text COLLATE "C"'
_NUMBER = "double precision"
_MOMENT = "timestamptz NOT NULL"

_DECISION = {
    "symbol": (_KEY, "Ticker, as the vendor writes it."),
    "horizon": (_KEY, "intraday (a decision every 5 minutes in session) or daily (at the close)."),
    "as_of": (_MOMENT, "The decision time on the grid."),
}

Columns = Mapping[str, tuple[str, str]]

MARKET_BARS: Columns = {
    "symbol": (_KEY, "Ticker, as the vendor writes it."),
    "timeframe": (_KEY, "1Min or 1Day."),
    "bar_start": (_MOMENT, "Start of the bar; with symbol and timeframe it names the bar."),
    "bar_end": (_MOMENT, "End of the bar; a daily bar ends at its session's close."),
    "open": (f"{_NUMBER} NOT NULL", "First price, raw as traded, in the currency of the exchange."),
    "high": (f"{_NUMBER} NOT NULL", "Highest price, raw as traded."),
    "low": (f"{_NUMBER} NOT NULL", "Lowest price, raw as traded."),
    "close": (f"{_NUMBER} NOT NULL", "Last price, raw as traded."),
    "volume": (f"{_NUMBER} NOT NULL", "Shares traded."),
    "vwap": (_NUMBER, "Volume-weighted average price; null where the vendor gives none."),
    "trade_count": ("bigint", "Number of trades; null where the vendor gives none."),
    "source": (_TEXT + " NOT NULL", "Who supplied the row."),
    **_KNOWN,
}
NEWS_ARTICLES: Columns = {
    "article_id": (_KEY, "The source and the vendor's id, or the sha256 of the canonical content."),
    "published_at": (_MOMENT, "When the article first appeared."),
    "updated_at": (_MOMENT, "When this version of it became public."),
    "source": (_TEXT + " NOT NULL", "Who supplied the row."),
    "headline": ("text NOT NULL", "Headline, as supplied."),
    "summary": ("text", "Summary or body, as supplied."),
    "url": ("text", "Where it is published."),
    "symbols": ("text[] NOT NULL", "Tickers that it is about."),
    "content_hash": (_KEY, "sha256 of headline, summary and symbols: names this wording."),
    **_KNOWN,
}
CORPORATE_ACTIONS: Columns = {
    "action_id": (_KEY, "Names the action across its versions."),
    "symbol": (_KEY, "Ticker, as the vendor writes it."),
    "kind": (_KEY, "split, cash_dividend, stock_dividend, or the vendor's name for a kind that moves no price."),
    "ex_date": ("date NOT NULL", "First trading day without the right, in the exchange's calendar."),
    "effective_at": (_MOMENT, "Local midnight of ex_date: bars that end at or before it are adjusted."),
    "ratio": (_NUMBER, "New shares per old share (7 for a 7:1 split, 0.05 for 1:20); null otherwise."),
    "amount": (_NUMBER, "Cash per old share; null otherwise."),
    "source": (_TEXT + " NOT NULL", "Who supplied the row."),
    **_KNOWN,
}
ARTICLE_SENTIMENT: Columns = {
    "article_id": (_KEY, "The article, as in news_articles."),
    "content_hash": (_KEY, "The wording that was scored."),
    "symbol": (_KEY, "The ticker that the score is about."),
    "model": (_KEY, "Which model scored it, or ensemble."),
    "model_version": (_KEY, "Version of that model."),
    "published_at": (_MOMENT, "When the article first appeared."),
    "score": (_NUMBER, "p_positive - p_negative, in [-1, 1]."),
    "p_negative": (_NUMBER, "Probability of bad news for the symbol."),
    "p_neutral": (_NUMBER, "Probability of neither."),
    "p_positive": (_NUMBER, "Probability of good news for the symbol."),
    "confidence": (_NUMBER, "In [0, 1]."),
    "flags": ("text[] NOT NULL", "What the reader of the score should know, such as a missing member."),
    **_KNOWN,
}
SYMBOL_SENTIMENT: Columns = {
    **_DECISION,
    "score": (_NUMBER, "Decayed mean of the articles' scores, in [-1, 1]; null without articles."),
    "confidence": (_NUMBER, "In [0, 1]; null without articles."),
    "article_count": ("bigint", "Articles that the score rests on."),
    "disagreement": (_NUMBER, "Weighted standard deviation of their scores; null without articles."),
    "newest_published_at": ("timestamptz", "When the newest of them appeared."),
    "model": (_TEXT, "Which model scored the articles."),
    "model_version": (_TEXT, "Version of that model."),
    "inputs_hash": (_TEXT, "Digest of the inputs: same digest, same values."),
}
TECHNICAL_INDICATORS: Columns = {
    **_DECISION,
    "bar_start": (_MOMENT, "Start of the newest bar used."),
    "bar_end": (_MOMENT, "End of the newest bar used."),
    "bars": ("bigint NOT NULL", "How many bars the values rest on, at least 250."),
    "close": (_NUMBER, "Close of the newest bar, raw as traded."),
    "rsi_14": (_NUMBER, "Relative strength index over 14 bars, 0 to 100."),
    "macd": (_NUMBER, "EMA(12) - EMA(26) of the closes."),
    "macd_signal": (_NUMBER, "EMA(9) of macd."),
    "macd_histogram": (_NUMBER, "macd - macd_signal."),
    "macd_cross": (_TEXT, "bullish, bearish or none: whether macd crossed its signal at the newest bar."),
    "bb_upper": (_NUMBER, "Upper Bollinger band: 20 bars, 2 standard deviations."),
    "bb_middle": (_NUMBER, "Mean of the last 20 closes."),
    "bb_lower": (_NUMBER, "Lower Bollinger band."),
    "bb_percent_b": (_NUMBER, "(close - lower) / (upper - lower); null for flat bands."),
    "bb_bandwidth": (_NUMBER, "(upper - lower) / middle."),
    "bb_position": (_TEXT, "above, upper, lower or below: where the close stands in the bands."),
    "bb_cross": (_TEXT, "crossed_{above|below}_{upper|lower} or none, at the newest bar."),
    "inputs_hash": (_TEXT, "Digest of the bars and corporate actions used: same digest, same values."),
}
SIGNALS: Columns = {
    **_DECISION,
    "engine": (_KEY, "Which engine decided, such as rules."),
    "signal": (_TEXT + " NOT NULL", "STRONG_BUY, BUY, HOLD, SELL or STRONG_SELL."),
    "strength": (_NUMBER, "In [-1, 1]; negative sells."),
    "confidence": (_NUMBER, "In [0, 1]."),
    "reasons": ("jsonb NOT NULL", "List of {rule, contribution, text}: why."),
    "price": (_NUMBER, "Price at the decision, raw as traded."),
    "stop_loss": (_NUMBER, "Price to leave at with a loss; null where none is set."),
    "take_profit": (_NUMBER, "Price to leave at with a gain; null where none is set."),
    "position_fraction": (_NUMBER, "Share of the capital to commit; null where none is set."),
    "inputs_hash": (_KEY, "Digest of all inputs: same digest, same decision."),
    "model_version": (_TEXT, "Version of the engine or its model."),
    "valid_until": (_MOMENT, "When the decision stops being current."),
    "run_id": (_TEXT, "The run that wrote the row."),
    "seq": (
        "bigint NOT NULL DEFAULT nextval('signals_seq')",
        "Order of writing; of two rows for one moment, the last.",
    ),
}
QUARANTINE: Columns = {
    "digest": (_KEY, "sha256 of source, reason and payload: what comes twice is kept once."),
    "source": (_TEXT + " NOT NULL", "Who supplied it."),
    "received_at": (_MOMENT, "When it first came."),
    "reason": (_TEXT + " NOT NULL", "Why it was refused, in snake_case."),
    "payload": ("text NOT NULL", "The whole of what came, as text."),
}
COVERAGE: Columns = {
    "source": (_KEY, "Who was asked."),
    "kind": (_KEY, "What for: 1Min, 1Day, news or actions."),
    "symbol": (_KEY, "Ticker that was asked about."),
    "spans": ("tstzmultirange NOT NULL", "The spans [start, end) that were asked for and answered in full."),
}

_TABLES: Mapping[str, tuple[str, Columns, str, str]] = {
    "market_bars": (
        "Price bars, every version of each. A restated bar is a new row.",
        MARKET_BARS,
        "bar_start",
        "PRIMARY KEY (symbol, timeframe, bar_start, known_at), "
        "CHECK (bar_end > bar_start AND bar_end - bar_start <= "
        "CASE timeframe WHEN '1Min' THEN interval '1 minute' ELSE interval '48 hours' END)",
    ),
    "news_articles": (
        "News, every version of each article. An edited article is a new row.",
        NEWS_ARTICLES,
        "published_at",
        "PRIMARY KEY (article_id, updated_at, known_at, published_at)",
    ),
    "corporate_actions": (
        "Splits, dividends and the like, every version of each.",
        CORPORATE_ACTIONS,
        "",
        "PRIMARY KEY (action_id, known_at)",
    ),
    "article_sentiment": (
        "One score a wording of an article, symbol, model and version of it. Never changed.",
        ARTICLE_SENTIMENT,
        "published_at",
        "PRIMARY KEY (article_id, content_hash, symbol, model, model_version, published_at)",
    ),
    "symbol_sentiment": (
        "Decayed sentiment of a symbol at each decision time.",
        SYMBOL_SENTIMENT,
        "as_of",
        "PRIMARY KEY (symbol, horizon, as_of)",
    ),
    "technical_indicators": (
        "Indicators of a symbol at each decision time, from bars adjusted as of then.",
        TECHNICAL_INDICATORS,
        "as_of",
        "PRIMARY KEY (symbol, horizon, as_of)",
    ),
    "signals": (
        "Trading signals. Rows are added, never changed.",
        SIGNALS,
        "as_of",
        "PRIMARY KEY (symbol, horizon, engine, as_of, inputs_hash)",
    ),
    "quarantine": ("What was refused, and why.", QUARANTINE, "", "PRIMARY KEY (digest)"),
    "coverage": (
        "Which spans of time each source has been asked for and has answered.",
        COVERAGE,
        "",
        "PRIMARY KEY (source, kind, symbol)",
    ),
}

_INDEXES = (
    "CREATE INDEX ON news_articles (published_at)",
    "CREATE INDEX ON corporate_actions (symbol)",
    "CREATE INDEX ON article_sentiment (symbol, model, published_at)",
    "CREATE INDEX ON coverage (symbol, kind)",
    "CREATE INDEX ON quarantine (received_at)",
)

_SIGNAL_COLUMNS = ", ".join(name for name in SIGNALS if name != "seq")

# The latest rows are found by stepping from key to key through the index: the cost follows the number of
# symbols, where DISTINCT ON would read all history.
_VIEWS: Mapping[str, tuple[str, str, Columns]] = {
    "signals_latest": (
        "The newest signal of each symbol, horizon and engine.",
        f"""
        WITH RECURSIVE heads AS (
            (SELECT symbol, horizon, engine FROM signals ORDER BY symbol, horizon, engine LIMIT 1)
            UNION ALL
            SELECT next.* FROM heads h CROSS JOIN LATERAL (
                SELECT s.symbol, s.horizon, s.engine FROM signals s
                WHERE (s.symbol, s.horizon, s.engine) > (h.symbol, h.horizon, h.engine)
                ORDER BY s.symbol, s.horizon, s.engine LIMIT 1) next
        )
        SELECT latest.* FROM heads h CROSS JOIN LATERAL (
            SELECT {_SIGNAL_COLUMNS} FROM signals s
            WHERE s.symbol = h.symbol AND s.horizon = h.horizon AND s.engine = h.engine
            ORDER BY s.as_of DESC, s.seq DESC LIMIT 1) latest
        """,
        SIGNALS,
    ),
    "signals_history": (
        "Every signal ever given.",
        f"SELECT {_SIGNAL_COLUMNS} FROM signals",
        SIGNALS,
    ),
    "indicators_latest": (
        "The newest indicators of each symbol and horizon.",
        """
        WITH RECURSIVE heads AS (
            (SELECT symbol, horizon FROM technical_indicators ORDER BY symbol, horizon LIMIT 1)
            UNION ALL
            SELECT next.* FROM heads h CROSS JOIN LATERAL (
                SELECT t.symbol, t.horizon FROM technical_indicators t
                WHERE (t.symbol, t.horizon) > (h.symbol, h.horizon)
                ORDER BY t.symbol, t.horizon LIMIT 1) next
        )
        SELECT latest.* FROM heads h CROSS JOIN LATERAL (
            SELECT * FROM technical_indicators t
            WHERE t.symbol = h.symbol AND t.horizon = h.horizon
            ORDER BY t.as_of DESC LIMIT 1) latest
        """,
        TECHNICAL_INDICATORS,
    ),
    "sentiment_daily": (
        "Sentiment of the articles of one day (UTC) about a symbol, by model; each article in its newest wording.",
        """
        SELECT symbol, (published_at AT TIME ZONE 'UTC')::date AS day, model, model_version,
               count(*) AS article_count, avg(score) AS mean_score, min(score) AS lowest_score,
               max(score) AS highest_score, avg(confidence) AS mean_confidence,
               max(published_at) AS newest_published_at
        FROM (SELECT DISTINCT ON (article_id, symbol, model, model_version) *
              FROM article_sentiment
              ORDER BY article_id, symbol, model, model_version, known_at DESC, content_hash) newest
        GROUP BY 1, 2, 3, 4
        """,
        {
            "symbol": ("", "Ticker, as the vendor writes it."),
            "day": ("", "Day of publication, UTC."),
            "model": ("", "Which model scored the articles, or ensemble."),
            "model_version": ("", "Version of that model."),
            "article_count": ("", "Articles about the symbol that day."),
            "mean_score": ("", "Mean of their scores, in [-1, 1]."),
            "lowest_score": ("", "Lowest of their scores."),
            "highest_score": ("", "Highest of their scores."),
            "mean_confidence": ("", "Mean of the scores' confidence, in [0, 1]."),
            "newest_published_at": ("", "When the newest of them appeared."),
        },
    ),
}

# Large objects are the one thing that PostgreSQL lets everyone write without owning anything. Advisory locks and
# notifications, which write nothing, stay as they are: others in the database may live by them.
_SIDE_EFFECTS = """
DO $$
DECLARE signature regprocedure;
BEGIN
    FOR signature IN
        SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = 'pg_catalog'
          AND p.proname IN ('lo_create', 'lo_creat', 'lo_from_bytea', 'lo_put', 'lo_unlink', 'lo_open', 'lowrite',
                            'lo_truncate', 'lo_truncate64')
          AND has_function_privilege('public', p.oid, 'EXECUTE')
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', signature, current_user);
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', signature);
    END LOOP;
END $$
"""

_ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'paiid_analyst') THEN
        CREATE ROLE paiid_analyst NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT;
        ALTER ROLE paiid_analyst SET default_transaction_read_only = on;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""

_GRANTS = """
DO $$
BEGIN
    IF has_database_privilege('paiid_analyst', current_database(), 'TEMPORARY') THEN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO paiid_analyst', current_database());
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema());
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO paiid_analyst', current_schema());
END $$
"""


def upgrade() -> None:
    """Create everything in the schema that the connection's search_path names first."""
    op.execute("CREATE SEQUENCE signals_seq")
    for name, (comment, columns, partition, constraints) in _TABLES.items():
        _create_table(name, comment, columns, partition, constraints)
    for statement in _INDEXES:
        op.execute(statement)
    op.execute(_ROLE)
    op.execute(_GRANTS)
    op.execute(_SIDE_EFFECTS)
    for name, (comment, query, columns) in _VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")
        _comment("VIEW", name, comment, {column: c for column, c in columns.items() if column != "seq"})
        op.execute(f"GRANT SELECT ON {name} TO paiid_analyst")


def downgrade() -> None:
    """Drop everything but the role, which other schemas may share."""
    for name in _VIEWS:
        op.execute(f"DROP VIEW {name}")
    for name in _TABLES:
        op.execute(f"DROP TABLE {name}")
    op.execute("DROP SEQUENCE signals_seq")


def _create_table(name: str, comment: str, columns: Columns, partition: str, constraints: str) -> None:
    body = ", ".join(f"{column} {kind}" for column, (kind, _) in columns.items())
    by_month = f" PARTITION BY RANGE ({partition})" if partition else ""
    op.execute(f"CREATE TABLE {name} ({body}, {constraints}){by_month}")
    _comment("TABLE", name, comment, columns)


def _comment(what: str, name: str, comment: str, columns: Columns) -> None:
    quoted = {f"COLUMN {name}.{column}": text for column, (_, text) in columns.items()}
    statements = [
        f"COMMENT ON {target} IS '{text.replace(chr(39), chr(39) * 2)}'"
        for target, text in {f"{what} {name}": comment, **quoted}.items()
    ]
    op.execute("; ".join(statements).replace(":", r"\:"))
