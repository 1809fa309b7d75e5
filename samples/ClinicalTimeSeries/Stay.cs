using Microsoft.ML.Attention;
using Microsoft.ML.Data;

namespace ClinicalTimeSeries;

/// <summary>A patient's stay: what was measured when, and how it ended.</summary>
internal sealed class Stay
{
    /// <summary>Hours since admission, ascending.</summary>
    public float[] Times { get; set; } = [];

    /// <summary><c>[rows, variables]</c>, NaN where nothing was measured.</summary>
    public float[] Series { get; set; } = [];

    /// <summary>Whether the patient died in hospital.</summary>
    public bool Label { get; set; }
}

/// <summary>The same stay as boosted trees see it.</summary>
internal sealed class SummarisedStay
{
    public float[] Features { get; set; } = [];

    public bool Label { get; set; }

    /// <summary>The features of a stay as a data view wants them, of known number.</summary>
    public static SchemaDefinition Schema(int variableCount)
    {
        var schema = SchemaDefinition.Create(typeof(SummarisedStay));
        schema[nameof(Features)].ColumnType =
            new VectorDataViewType(NumberDataViewType.Single, SummaryFeatures.PerVariable * variableCount);
        return schema;
    }
}

/// <summary>Stays with their variables.</summary>
/// <param name="Name">Where they are from.</param>
/// <param name="Variables">The variables of a series.</param>
/// <param name="Stays">The stays.</param>
internal sealed record StaySet(string Name, IReadOnlyList<SeriesVariable> Variables, IReadOnlyList<Stay> Stays)
{
    /// <summary>Cuts the stays into folds with the same share of deaths each.</summary>
    public int[] Folds(int count, int seed)
    {
        var (folds, random) = (new int[Stays.Count], new Random(seed));
        foreach (var group in Stays.Index().GroupBy(stay => stay.Item.Label, stay => stay.Index))
        {
            var order = group.ToArray();
            random.Shuffle(order);
            for (var i = 0; i < order.Length; i++)
                folds[order[i]] = i % count;
        }
        return folds;
    }
}
