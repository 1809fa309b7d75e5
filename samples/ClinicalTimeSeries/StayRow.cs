using Microsoft.ML.Data;

namespace ClinicalTimeSeries;

/// <summary>What was measured of a patient at one time.</summary>
internal sealed class StayRow
{
    public string Id { get; init; } = "";

    /// <summary>Hours since admission.</summary>
    public float Time { get; init; }

    /// <summary>The values, NaN where nothing was measured.</summary>
    [VectorType(PhysioNet2012.VariableCount)]
    public float[] Values { get; init; } = [];

    /// <summary>Whether the patient died in hospital.</summary>
    public bool Label { get; init; }
}
