using BatchScoring.Output;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace BatchScoring.Scoring;

/// <summary>Scores with an ML.NET pipeline.</summary>
internal sealed class PipelineScorer : IBatchScorer
{
    /// <summary>
    /// How the names of text columns begin in which a pipeline says why a row has no scores; they are empty for good rows.
    /// </summary>
    public const string ErrorColumnPrefix = "__WhyNotScored";

    private readonly ITransformer _pipeline;
    private readonly DataViewSchema _inputSchema;
    private readonly int _imageColumn;
    private readonly PipelineColumn[] _columns;
    private readonly DataViewSchema.Column[] _errors;

    /// <param name="pipeline">The pipeline; the scorer disposes it.</param>
    /// <param name="inputSchema">The schema of the data that it was fitted on.</param>
    /// <param name="imageColumn">The column that holds paths or pictures; null to find it.</param>
    /// <param name="columns">The columns to write; empty for those that hold scores, or all that it adds where none does.</param>
    public PipelineScorer(ITransformer pipeline, DataViewSchema inputSchema, string? imageColumn, IReadOnlyCollection<string> columns)
    {
        _pipeline = pipeline;
        (_inputSchema, _imageColumn) = ImageColumn.Find(inputSchema, imageColumn);
        var output = pipeline.GetOutputSchema(_inputSchema);
        _columns = Choose(output, _inputSchema, columns);
        _errors = [.. output.Where(IsError)];
        Columns = Array.ConvertAll(_columns, column => column.Target);
    }

    public IReadOnlyList<OutputColumn> Columns { get; }

    /// <summary>
    /// Scores in one pass. Where the pipeline throws, the rows from there on are scored one by one until the culprit is found, and the
    /// pass goes on behind it.
    /// </summary>
    public IEnumerable<RowOutcome> Score(ArraySegment<string> paths)
    {
        for (var row = 0; row < paths.Count;)
        {
            using (var pass = new Pass(this, paths[row..]))
            {
                while (pass.TryNext(out var outcome))
                {
                    row++;
                    yield return outcome;
                }
            }
            for (var bad = false; row < paths.Count && !bad; row++)
            {
                var outcome = ScoreAlone(paths.Slice(row, 1));
                bad = outcome.IsBad;
                yield return outcome;
            }
        }
    }

    public void Dispose() => (_pipeline as IDisposable)?.Dispose();

    private RowOutcome ScoreAlone(ArraySegment<string> path)
    {
        using var pass = new Pass(this, path);
        return pass.TryNext(out var outcome) ? outcome : Bad(path[0], pass.Error!.Message);
    }

    private RowOutcome Bad(string path, string error)
    {
        foreach (var column in Columns)
            column.AddMissing();
        return !File.Exists(path) ? new(RowStatus.Missing, $"there is no file '{path}'")
            : IsPicture(path) ? new(RowStatus.Failed, error)
            : new(RowStatus.Corrupt, error);
    }

    private static bool IsPicture(string path)
    {
        try
        {
            using var picture = MLImage.CreateFromFile(path);
            return true;
        }
        catch (Exception error) when (error is ArgumentException or IOException or UnauthorizedAccessException or InvalidOperationException)
        {
            return false;
        }
    }

    private static PipelineColumn[] Choose(DataViewSchema output, DataViewSchema input, IReadOnlyCollection<string> wanted)
    {
        var visible = output.Where(column => !column.IsHidden && !IsError(column)).ToArray();
        if (wanted.Count > 0)
        {
            return [.. wanted.Select(name => visible.FirstOrDefault(column => column.Name == name) is { Name: not null } column
                ? PipelineColumn.TryCreate(column) ?? throw Wrong($"Column '{name}' of type {column.Type} has no Parquet type.")
                : throw Wrong($"The model gives no column '{name}'; it gives {string.Join(", ", visible.Select(c => $"'{c.Name}'"))}."))];
        }
        var added = visible.Where(column => input.GetColumnOrNull(column.Name) is null).ToArray();
        var scores = added.Where(HoldsScores).ToArray();
        var chosen = (scores.Length > 0 ? scores : added).Select(PipelineColumn.TryCreate).OfType<PipelineColumn>().ToArray();
        return chosen.Length > 0 ? chosen : throw Wrong("The model adds no column that Parquet has a type for.");
    }

    /// <summary>Scorers mark their columns; MapKeyToValue takes the mark from the predicted label.</summary>
    private static bool HoldsScores(DataViewSchema.Column column) =>
        column.Name == "PredictedLabel" || column.Annotations.Schema.GetColumnOrNull("ScoreColumnSetId") is not null;

    private static bool IsError(DataViewSchema.Column column) => column.Name.StartsWith(ErrorColumnPrefix, StringComparison.Ordinal);

    private static JobException Wrong(string message) => new(ExitCode.Usage, message);

    /// <summary>One cursor over the pipeline's result. An error ends it; the row that was asked for then has added nothing.</summary>
    private sealed class Pass : IDisposable
    {
        private readonly PipelineScorer _scorer;
        private readonly ArraySegment<string> _paths;
        private readonly DataViewRowCursor? _cursor;
        private readonly Action[] _add = [];
        private readonly ValueGetter<DataViewRowId>? _id;
        private readonly ValueGetter<ReadOnlyMemory<char>>[] _errors = [];
        private int _row;
        private long _cursorRow = -1;

        public Pass(PipelineScorer scorer, ArraySegment<string> paths)
        {
            _scorer = scorer;
            _paths = paths;
            try
            {
                var result = scorer._pipeline.Transform(new PathsView(scorer._inputSchema, scorer._imageColumn, paths));
                var columns = scorer._columns.Select(column => column.Source);
                _cursor = result.GetRowCursor(columns.Concat(scorer._errors));
                _add = Array.ConvertAll(scorer._columns, column => column.Bind(_cursor));
                _id = _cursor.GetIdGetter();
                _errors = Array.ConvertAll(scorer._errors, _cursor.GetGetter<ReadOnlyMemory<char>>);
            }
            catch (Exception error) when (error is not OperationCanceledException)
            {
                Error = error;
            }
        }

        public Exception? Error { get; private set; }

        /// <summary>Scores the next path; false at the end and where the pipeline fails.</summary>
        public bool TryNext(out RowOutcome outcome)
        {
            outcome = RowOutcome.Ok;
            if (Error is not null || _row == _paths.Count)
                return false;
            var rows = _scorer.Columns[0].Count;
            try
            {
                outcome = Next();
                _row++;
                return true;
            }
            catch (Exception error) when (error is not OperationCanceledException)
            {
                foreach (var column in _scorer.Columns)
                    column.Truncate(rows);
                Error = error;
                return false;
            }
        }

        public void Dispose() => _cursor?.Dispose();

        private RowOutcome Next()
        {
            if (_cursorRow < _row)
                _cursorRow = _cursor!.MoveNext() ? CurrentId() : _paths.Count;
            if (_cursorRow > _row)
                return _scorer.Bad(_paths[_row], "the pipeline drops this row");
            foreach (var error in _errors)
            {
                ReadOnlyMemory<char> message = default;
                error(ref message);
                if (!message.IsEmpty)
                    return _scorer.Bad(_paths[_row], message.ToString());
            }
            foreach (var add in _add)
                add();
            return RowOutcome.Ok;
        }

        private long CurrentId()
        {
            DataViewRowId id = default;
            _id!(ref id);
            return (long)id.Low;
        }
    }
}
