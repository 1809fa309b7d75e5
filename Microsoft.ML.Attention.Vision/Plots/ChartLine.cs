namespace Microsoft.ML.Attention.Vision.Plots;

/// <summary>A line of a <see cref="LineChart"/>.</summary>
/// <param name="Name">Its entry in the legend; lines of one name share entry and colour.</param>
/// <param name="Points">The points that it joins, in their order; those that are not finite are left out.</param>
public sealed record ChartLine(string Name, IReadOnlyList<ChartPoint> Points)
{
    /// <summary>Whether it stands back or out.</summary>
    public LineEmphasis Emphasis { get; init; }

    /// <summary>Whether each point has a dot.</summary>
    public bool HasDots { get; init; }

    /// <summary>A text at its last point; null for none.</summary>
    public string? Label { get; init; }
}

/// <summary>A point of a <see cref="ChartLine"/>.</summary>
/// <param name="X">Its place along the horizontal axis.</param>
/// <param name="Y">Its place along the vertical axis.</param>
/// <param name="Error">Half the length of its vertical error bar; 0 for none.</param>
public readonly record struct ChartPoint(double X, double Y, double Error = 0);

/// <summary>How much a <see cref="ChartLine"/> catches the eye.</summary>
public enum LineEmphasis
{
    /// <summary>A line among others.</summary>
    Normal = 0,

    /// <summary>Thin and pale: a background to others.</summary>
    Faint = 1,

    /// <summary>Thick, and drawn over the others.</summary>
    Strong = 2,
}
