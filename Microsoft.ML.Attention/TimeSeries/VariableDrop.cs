namespace Microsoft.ML.Attention;

/// <summary>Hides variables of encoded series, as if they had not been measured.</summary>
/// <param name="encoder">How the series were encoded.</param>
/// <param name="rate">The share of the variables that are hidden.</param>
internal sealed class VariableDrop(SeriesEncoder encoder, float rate)
{
    private readonly int[] _owners = encoder.VariableOfColumns();
    private readonly float[] _nothing = encoder.EncodeNothing();
    private readonly bool[] _hidden = new bool[encoder.Variables.Count];

    /// <summary>Hides variables, others of each series.</summary>
    /// <param name="series"><c>[N, bins, columns]</c></param>
    /// <param name="random">Tells which ones.</param>
    public void Apply(Span<float> series, Random random)
    {
        if (rate == 0)
            return;
        for (; series.Length > 0; series = series[_nothing.Length..])
        {
            for (var variable = 0; variable < _hidden.Length; variable++)
                _hidden[variable] = random.NextDouble() < rate;
            for (var i = 0; i < _nothing.Length; i++)
            {
                if (_owners[i % _owners.Length] is >= 0 and var owner && _hidden[owner])
                    series[i] = _nothing[i];
            }
        }
    }
}
