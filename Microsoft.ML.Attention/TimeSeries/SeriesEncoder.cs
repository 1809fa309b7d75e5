using Microsoft.ML.Internal.Utilities;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>
/// Turns series into rows of numbers for a model, one a bin: the columns of the variables in their order, those of their history, then the
/// flags of those that have one (1 where the variable was measured in the bin), and, with <see cref="SeriesPadding.Masked"/>, 1 for each bin
/// that is no padding.
/// <para>Source: the discretiser and the normaliser of the MIMIC-III benchmark (Harutyunyan et al., Scientific Data 6:96, 2019).</para>
/// </summary>
internal sealed class SeriesEncoder
{
    // A measurement on the edge of a bin belongs to the bin that ends there, rounding aside.
    private const double Rounding = 1e-6;

    private readonly int[] _firstColumns;
    private readonly int[] _historyColumns;
    private readonly int[] _flagColumns;
    private readonly float[] _means;
    private readonly float[] _deviations;

    /// <summary>An encoder that does not normalise.</summary>
    public SeriesEncoder(SeriesPreprocessing preprocessing, IReadOnlyList<SeriesVariable> variables)
        : this(
            preprocessing, variables, new float[variables.Sum(variable => variable.ColumnCount)],
            [.. Enumerable.Repeat(1f, variables.Sum(variable => variable.ColumnCount))])
    {
    }

    /// <summary>An encoder with known means and deviations of the columns of values: 0 and 1 for those that are not normalised.</summary>
    public SeriesEncoder(
        SeriesPreprocessing preprocessing, IReadOnlyList<SeriesVariable> variables, float[] means, float[] deviations)
    {
        (Preprocessing, Variables, _means, _deviations) = (preprocessing, variables, means, deviations);
        ValueColumnCount = means.Length;
        (_firstColumns, _historyColumns, _flagColumns) = (Place(0, i => variables[i].ColumnCount, out var valueEnd),
            Place(ValueColumnCount, HistoryWidth, out var historyEnd), Place(historyEnd, i => variables[i].HasFlag ? 1 : 0, out var flagEnd));
        (UnflaggedColumnCount, VariableColumnCount) = (historyEnd, flagEnd);
        ColumnCount = flagEnd + (MasksPadding ? 1 : 0);

        int[] Place(int first, Func<int, int> width, out int end)
        {
            var columns = new int[variables.Count];
            end = first;
            for (var i = 0; i < columns.Length; i++)
            {
                columns[i] = end;
                end += width(i);
            }
            return columns;
        }
    }

    public SeriesPreprocessing Preprocessing { get; }

    public IReadOnlyList<SeriesVariable> Variables { get; }

    /// <summary>The columns of values: one a continuous variable, one a category of the others.</summary>
    public int ValueColumnCount { get; }

    /// <summary>The columns of values and history.</summary>
    public int UnflaggedColumnCount { get; }

    /// <summary>The columns that belong to variables: values, history and flags.</summary>
    public int VariableColumnCount { get; }

    /// <summary>Whether the last column tells which bins are no padding.</summary>
    public bool MasksPadding => Preprocessing.Padding == SeriesPadding.Masked;

    /// <summary>All columns.</summary>
    public int ColumnCount { get; }

    /// <summary>The numbers of an encoded series, <c>[bins, columns]</c>.</summary>
    public int Length => Preprocessing.BinCount * ColumnCount;

    /// <summary>What is taken from each column of values.</summary>
    public IReadOnlyList<float> Means => _means;

    /// <summary>What each column of values is divided by.</summary>
    public IReadOnlyList<float> Deviations => _deviations;

    /// <summary>The variable that each column belongs to; -1 for the one that tells of padding.</summary>
    public int[] VariableOfColumns()
    {
        var owners = new int[ColumnCount];
        Array.Fill(owners, -1);
        for (var i = 0; i < Variables.Count; i++)
        {
            owners.AsSpan(_firstColumns[i], Variables[i].ColumnCount).Fill(i);
            owners.AsSpan(_historyColumns[i], HistoryWidth(i)).Fill(i);
            if (Variables[i].HasFlag)
                owners[_flagColumns[i]] = i;
        }
        return owners;
    }

    /// <summary>The same encoder with the normal values, means and deviations of training series.</summary>
    /// <param name="series">Their times and values; gone through twice.</param>
    public SeriesEncoder Fit(IReadOnlyCollection<SeriesValues> series)
    {
        var variables = WithNormalValues(series);
        var plain = new SeriesEncoder(Preprocessing with { Limit = null }, variables);
        var encoded = new float[plain.Length];
        var moments = new Moments[ValueColumnCount];
        foreach (var (times, values) in series)
        {
            var length = plain.Encode(times, values, encoded);
            for (var bin = 0; bin < length; bin++)
            {
                for (var column = 0; column < ValueColumnCount; column++)
                    moments[column].Add(encoded[(bin * ColumnCount) + column]);
            }
        }
        var (means, deviations) = (new float[ValueColumnCount], Enumerable.Repeat(1f, ValueColumnCount).ToArray());
        for (var i = 0; i < variables.Length; i++)
        {
            if (variables[i] is { Categories: null, IsNormalized: true })
                (means[_firstColumns[i]], deviations[_firstColumns[i]]) = moments[_firstColumns[i]].MeanAndDeviation;
        }
        return new(Preprocessing, variables, means, deviations);
    }

    /// <summary>Encodes a series.</summary>
    /// <param name="times">The time of each row, ascending; empty for 1, 2, 3 and so on.</param>
    /// <param name="values">The values <c>[rows, variables]</c>, NaN where something was not measured.</param>
    /// <param name="destination"><c>[bins, columns]</c></param>
    /// <returns>The bins that the series lasts.</returns>
    /// <exception cref="InvalidDataException">The values are not as many as rows and variables make, or times are not in order.</exception>
    public int Encode(ReadOnlySpan<float> times, ReadOnlySpan<float> values, Span<float> destination)
    {
        var rowCount = CheckRows(times, values);
        var end = rowCount == 0 ? 0 : BinOf(times, rowCount - 1) + 1;
        var first = Preprocessing.Kept == SeriesEnd.Last ? Math.Max(0, end - Preprocessing.BinCount) : 0;
        var length = Preprocessing.Padding != SeriesPadding.Impute ? Math.Min(end - first, Preprocessing.BinCount) : Preprocessing.BinCount;
        destination[..(length * ColumnCount)].Fill(float.NaN);
        destination[(length * ColumnCount)..].Clear();
        for (var row = 0; row < rowCount; row++)
        {
            var bin = Math.Max(0, BinOf(times, row) - first);
            if (bin >= length)
                break;
            for (var i = 0; i < Variables.Count; i++)
            {
                var value = values[(row * Variables.Count) + i];
                if (float.IsFinite(value))
                    destination[(bin * ColumnCount) + _firstColumns[i]] = value;
            }
        }
        for (var i = 0; i < Variables.Count; i++)
        {
            Complete(i, destination[..(length * ColumnCount)]);
            if (HistoryWidth(i) > 0)
                Tell(i, times, values, first, destination[..(length * ColumnCount)]);
        }
        for (var bin = 0; MasksPadding && bin < length; bin++)
            destination[((bin + 1) * ColumnCount) - 1] = 1;
        return length;
    }

    /// <summary>A series of which nothing is known, encoded.</summary>
    public float[] EncodeNothing()
    {
        var encoded = new float[Length];
        Encode([], [], encoded);
        return encoded;
    }

    public void Save(ModelSaveContext context)
    {
        Preprocessing.Save(context);
        context.Writer.Write(Variables.Count);
        foreach (var variable in Variables)
            variable.Save(context);
        context.Writer.WriteSingleArray(_means);
        context.Writer.WriteSingleArray(_deviations);
    }

    public static SeriesEncoder Load(ModelLoadContext context)
    {
        var preprocessing = SeriesPreprocessing.Load(context);
        var variables = new SeriesVariable[context.Reader.ReadInt32()];
        for (var i = 0; i < variables.Length; i++)
            variables[i] = SeriesVariable.Load(context);
        return new(preprocessing, variables, context.Reader.ReadSingleArray(), context.Reader.ReadSingleArray());
    }

    private int CheckRows(ReadOnlySpan<float> times, ReadOnlySpan<float> values)
    {
        var rowCount = values.Length / Variables.Count;
        if (values.Length != rowCount * Variables.Count)
            throw new InvalidDataException($"the series has {values.Length} values, not a multiple of its {Variables.Count} variables");
        if (times.Length != rowCount && !times.IsEmpty)
            throw new InvalidDataException($"the series has {times.Length} times for {rowCount} rows");
        for (var row = 0; row < times.Length; row++)
        {
            if (!float.IsFinite(times[row]) || (row > 0 && times[row] < times[row - 1]))
            {
                throw new InvalidDataException(
                    $"time {row} of the series is {times[row]}; times must be numbers in ascending order");
            }
        }
        return rowCount;
    }

    private int BinOf(ReadOnlySpan<float> times, int row)
    {
        var bin = (times.IsEmpty ? row + 1d : times[row]) / Preprocessing.BinWidth - Rounding;
        return (int)Math.Clamp(bin, 0, int.MaxValue - 1d);
    }

    /// <summary>Sets the flags of a variable, imputes, and makes columns of its values.</summary>
    private void Complete(int index, Span<float> rows)
    {
        var (variable, first, flag) = (Variables[index], _firstColumns[index], _flagColumns[index]);
        if (variable.HasFlag)
        {
            for (var row = 0; row < rows.Length; row += ColumnCount)
                rows[row + flag] = float.IsNaN(rows[row + first]) ? 0 : 1;
        }
        Impute(variable, first, rows);
        for (var row = 0; row < rows.Length; row += ColumnCount)
        {
            if (variable.Categories is not null)
                OneHot(variable, rows.Slice(row + first, variable.ColumnCount));
            else
                rows[row + first] = Scale(variable, rows[row + first], first);
        }
    }

    /// <summary>Writes the history of a variable; where nothing was measured yet, what is imputed.</summary>
    private void Tell(int index, ReadOnlySpan<float> times, ReadOnlySpan<float> values, int firstBin, Span<float> rows)
    {
        var (variable, column, rowCount) = (Variables[index], _firstColumns[index], values.Length / Variables.Count);
        var (history, told, row) = (new VariableHistory(), Preprocessing.History, 0);
        for (var bin = 0; bin < rows.Length / ColumnCount; bin++)
        {
            for (; row < rowCount && BinOf(times, row) - firstBin <= bin; row++)
            {
                if (values[(row * Variables.Count) + index] is var value && float.IsFinite(value))
                    history.Add(value, bin);
            }
            var columns = rows.Slice(bin * ColumnCount, ColumnCount);
            var next = _historyColumns[index];
            if (told.HasFlag(SeriesHistory.Age))
                columns[next++] = history.Count == 0 ? 1 : (float)(bin - history.LastBin) / Preprocessing.BinCount;
            if (told.HasFlag(SeriesHistory.Range))
            {
                columns[next++] = history.Count == 0 ? columns[column] : Scale(variable, history.Least, column);
                columns[next++] = history.Count == 0 ? columns[column] : Scale(variable, history.Largest, column);
            }
            if (told.HasFlag(SeriesHistory.Mean))
                columns[next++] = history.Count == 0 ? columns[column] : Scale(variable, history.Mean, column);
            if (told.HasFlag(SeriesHistory.Count))
                columns[next] = MathF.Log(1 + history.Count);
        }
    }

    private int HistoryWidth(int index) =>
        Variables[index] is { Categories: null, HasFlag: true } ? VariableHistory.ColumnCount(Preprocessing.History) : 0;

    private void Impute(SeriesVariable variable, int column, Span<float> rows)
    {
        var start = Preprocessing.Imputation == SeriesImputation.Zero
            ? variable.Categories is null ? 0 : float.NaN
            : variable.NormalValue ?? float.NaN;
        var carries = Preprocessing.Imputation is SeriesImputation.Previous or SeriesImputation.Next;
        var value = start;
        var rowCount = rows.Length / ColumnCount;
        for (var i = 0; i < rowCount; i++)
        {
            var row = Preprocessing.Imputation == SeriesImputation.Next ? rowCount - 1 - i : i;
            ref var cell = ref rows[(row * ColumnCount) + column];
            if (float.IsNaN(cell))
                cell = value;
            else if (carries)
                value = cell;
        }
    }

    private float Scale(SeriesVariable variable, float value, int column)
    {
        if (variable.IsLogarithmic)
            value = MathF.Log(1 + MathF.Max(0, value));
        if (!variable.IsNormalized)
            return value;
        var normalised = (value - _means[column]) / _deviations[column];
        return Preprocessing.Limit is { } limit ? Math.Clamp(normalised, -limit, limit) : normalised;
    }

    private static void OneHot(SeriesVariable variable, Span<float> columns)
    {
        var value = columns[0];
        for (var i = 0; i < columns.Length; i++)
            columns[i] = variable.Categories![i] == value ? 1 : 0;
    }

    private SeriesVariable[] WithNormalValues(IReadOnlyCollection<SeriesValues> series)
    {
        var measured = new Moments[Variables.Count];
        foreach (var (_, values) in series)
        {
            for (var i = 0; i < values.Length; i++)
            {
                if (float.IsFinite(values[i]))
                    measured[i % Variables.Count].Add(values[i]);
            }
        }
        return [.. Variables.Select((variable, i) => variable is { NormalValue: null, Categories: null }
            ? variable with { NormalValue = measured[i].MeanAndDeviation.Mean } : variable)];
    }

    /// <summary>Mean and variance of numbers that come one by one (Welford).</summary>
    private struct Moments
    {
        private long _count;
        private double _mean;
        private double _squares;

        public readonly (float Mean, float Deviation) MeanAndDeviation =>
            ((float)_mean, (float)Math.Max(1e-7, Math.Sqrt(_squares / Math.Max(1, _count - 1))));

        public void Add(double value)
        {
            _count++;
            var distance = value - _mean;
            _mean += distance / _count;
            _squares += distance * (value - _mean);
        }
    }
}

/// <summary>The measurements of a series.</summary>
/// <param name="Times">The time of each row, ascending; empty for 1, 2, 3 and so on.</param>
/// <param name="Values"><c>[rows, variables]</c>, NaN where something was not measured.</param>
internal readonly record struct SeriesValues(float[] Times, float[] Values);
