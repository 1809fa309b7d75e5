namespace Microsoft.ML.Attention;

/// <summary>What becomes of a row whose input cannot be read: a picture that is damaged, a vector of the wrong length.</summary>
public enum BadInput
{
    /// <summary>Scoring stops with an error that names the row and the reason.</summary>
    Throw = 0,

    /// <summary>
    /// The row is kept and its outputs are missing values; a warning in <c>MLContext.Log</c> names the row and the reason.
    /// </summary>
    ScoreAsMissing = 1,
}
